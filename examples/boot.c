/* The library in one page: boots KERNEL (a Linux bzImage, a PVH or a Multiboot ELF) and copies its serial
 * port to standard output.
 *
 *     cc boot.c -ltrine -lZydis -lpthread        boot KERNEL */
#include <stdio.h>
#include <trine.h>

static void serial_output(void *opaque, const uint8_t *data, size_t n)
{
    fwrite(data, 1, n, opaque);
}

int main(int argc, char **argv)
{
    struct trine_config config;
    struct trine_error error;
    struct trine_result result;
    struct trine_vm *vm;

    if (argc != 2) {
        fprintf(stderr, "usage: boot KERNEL\n");
        return 2;
    }
    trine_config_init(&config);
    config.kernel = argv[1];
    config.memory = 64 << 20;
    config.serial = TRINE_SERIAL_CALLBACK;
    config.serial_output = serial_output;
    config.serial_opaque = stdout;
    config.debug_exit = true;
    config.max_time_s = 60;

    if (trine_create(&config, &vm, &error) != TRINE_OK) {
        fprintf(stderr, "boot: %s\n", error.text);
        return error.status;
    }
    enum trine_status status = trine_run(vm, &result, &error);
    trine_destroy(vm);
    if (status != TRINE_OK) {
        fprintf(stderr, "boot: %s\n", error.text);
        return status;
    }
    printf("the guest ended: %s\n", result.detail);
    return result.end == TRINE_END_DEBUG_EXIT ? (int)(result.debug_exit_value << 1 | 1) & 0xff : 0;
}
