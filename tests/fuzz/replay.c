/* Gives a fuzz target the saved inputs: replay FILE-OR-FOLDER... . Folders are not searched further down. A
 * crash is the failure. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned replayed;

static int replay_file(const char *path)
{
    FILE *f = fopen(path, "re");
    if (!f || fseek(f, 0, SEEK_END) != 0) {
        perror(path);
        return 1;
    }
    long size = ftell(f);
    uint8_t *data = size >= 0 ? malloc((size_t)size + 1) : NULL;
    rewind(f);
    int failed = !data || fread(data, 1, (size_t)size, f) != (size_t)size;
    fclose(f);
    if (failed)
        perror(path);
    else
        LLVMFuzzerTestOneInput(data, (size_t)size);
    free(data);
    replayed++;
    return failed;
}

static int replay_folder(DIR *dir, const char *path)
{
    int failed = 0;
    for (struct dirent *d; (d = readdir(dir));) {
        char name[4096];
        if (d->d_name[0] == '.')
            continue;
        snprintf(name, sizeof name, "%s/%s", path, d->d_name);
        failed |= replay_file(name);
    }
    return failed;
}

int main(int argc, char **argv)
{
    int failed = 0;
    for (int i = 1; i < argc; i++) {
        DIR *dir = opendir(argv[i]);
        failed |= dir ? replay_folder(dir, argv[i]) : replay_file(argv[i]);
        if (dir)
            closedir(dir);
    }
    printf("%u inputs\n", replayed);
    return failed || !replayed;
}
