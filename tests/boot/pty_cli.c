/* `trine run` on a terminal: raw while the guest runs, as it was at every other time; keys; signals; stopping
 * and continuing; a crash. usage: pty_cli TRINE ECHO-IMAGE HANG-IMAGE        ECHO-IMAGE: of echo.S,
 * HANG-IMAGE: guest/hang */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE_MS 20000

struct session {
    const char *name;
    int master, slave;
    struct termios before;
    pid_t pid;
    char seen[65536]; /* what came out since the last look */
    size_t n;
};

static int failures;

static void check(const struct session *s, bool ok, const char *what)
{
    if (ok)
        return;
    failures++;
    fprintf(stderr, "%s: not so: %s; seen: \"%.*s\"\n", s->name, what, (int)(s->n < 300 ? s->n : 300),
            s->seen);
}

/* Starts `trine run` with ARGS on a terminal of its own, as the leader of a session, as a login shell would.
 */
static void start(struct session *s, const char *name, const char *trine, const char *const *args)
{
    *s = (struct session){.name = name, .master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC)};
    if (s->master < 0 || grantpt(s->master) || unlockpt(s->master)) {
        perror("pseudo-terminal");
        exit(1);
    }
    s->slave = open(ptsname(s->master), O_RDWR | O_NOCTTY | O_CLOEXEC);
    tcgetattr(s->slave, &s->before);
    s->pid = fork();
    if (s->pid)
        return;
    const char *argv[16] = {trine, "run", "--quiet", "--debug-exit"};
    for (int i = 4; i < 15 && *args; i++)
        argv[i] = *args++;
    /* A shell's background job and nohup start it with these ignored, and hand that on. */
    signal(SIGINT, SIG_DFL), signal(SIGQUIT, SIG_DFL), signal(SIGHUP, SIG_DFL);
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    setsid();
    ioctl(s->slave, TIOCSCTTY, 0);
    dup2(s->slave, 0), dup2(s->slave, 1), dup2(s->slave, 2);
    execv(trine, (char *const *)argv);
    _exit(126);
}

static bool is_raw(const struct session *s)
{
    struct termios t;
    return tcgetattr(s->slave, &t) == 0 && !(t.c_lflag & (ICANON | ECHO | ISIG));
}

static bool is_restored(const struct session *s)
{
    struct termios t;
    return tcgetattr(s->slave, &t) == 0 && t.c_iflag == s->before.c_iflag && t.c_oflag == s->before.c_oflag &&
           t.c_cflag == s->before.c_cflag && t.c_lflag == s->before.c_lflag &&
           !memcmp(t.c_cc, s->before.c_cc, sizeof t.c_cc);
}

static void pause_ms(long ms)
{
    nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL);
}

static bool wait_raw(const struct session *s, bool raw)
{
    for (int i = 0; i < PATIENCE_MS / 10; i++) {
        if (is_raw(s) == raw)
            return true;
        pause_ms(10);
    }
    return false;
}

/* Reads until TEXT came; forgets what came up to its end. */
static bool expect(struct session *s, const char *text, size_t len)
{
    for (int waited = 0; waited < PATIENCE_MS;) {
        char *at = memmem(s->seen, s->n, text, len);
        if (at) {
            s->n -= (size_t)(at + len - s->seen);
            memmove(s->seen, at + len, s->n);
            return true;
        }
        struct pollfd p = {.fd = s->master, .events = POLLIN};
        if (s->n == sizeof s->seen || poll(&p, 1, 100) < 0)
            return false;
        waited += 100;
        ssize_t r = p.revents & POLLIN ? read(s->master, s->seen + s->n, sizeof s->seen - s->n) : 0;
        s->n += r > 0 ? (size_t)r : 0;
    }
    return false;
}

static void type(const struct session *s, const char *keys)
{
    size_t n = strlen(keys);
    check(s, write(s->master, keys, n) == (ssize_t)n, "typing");
}

/* Waits for the end; the wait status, or -1 when it does not come. */
static int end(struct session *s, bool stopped)
{
    for (int i = 0; i < PATIENCE_MS / 10; i++) {
        int status;
        pid_t p = waitpid(s->pid, &status, WNOHANG | (stopped ? WUNTRACED : 0));
        if (p == s->pid)
            return status;
        pause_ms(10);
    }
    kill(s->pid, SIGKILL);
    waitpid(s->pid, NULL, 0);
    return -1;
}

static void finish(struct session *s, int status)
{
    int got = end(s, false);
    if (got != status) {
        fprintf(stderr, "%s: wait status 0x%x, not 0x%x\n", s->name, (unsigned)got, (unsigned)status);
        failures++;
    }
    check(s, is_restored(s), "the terminal is as it was");
    close(s->master);
    close(s->slave);
}

#define EXITED(n) ((n) << 8)

static void test_keys(const char *trine, const char *echo)
{
    struct session s;
    start(&s, "keys", trine, (const char *const[]){"--kernel", echo, NULL});
    check(&s, expect(&s, "!", 1), "the guest starts");
    check(&s, is_raw(&s), "raw while it runs");
    type(&s, "a\003\032\034b\r");
    check(&s, expect(&s, "a\003\032\034b\r", 6), "Ctrl-C, Ctrl-Z and Ctrl-\\ go to the guest");
    type(&s, "\001\001c");
    check(&s, expect(&s, "\001c", 2), "Ctrl-A Ctrl-A sends one");
    type(&s, "\001h");
    check(&s, expect(&s, "Ctrl-A x", 8), "Ctrl-A h tells the keys");
    type(&s, "\001x");
    finish(&s, EXITED(0));
}

/* Keys behind Ctrl-A c do not reach the guest (which would send them back), those behind the next do. */
static void test_prompt(const char *trine, const char *echo)
{
    struct session s;
    start(&s, "prompt", trine, (const char *const[]){"--kernel", echo, NULL});
    check(&s, expect(&s, "!", 1), "the guest starts");
    type(&s, "\001c");
    check(&s, expect(&s, "(trine) ", 8), "Ctrl-A c opens the prompt");
    type(&s, "helx\177p\r");
    check(&s, expect(&s, "system_powerdown   press", 24), "help lists the commands, and a key was taken back");
    check(&s, expect(&s, "(trine) ", 8), "the prompt is back");
    for (int i = 0; i < 20; i++) { /* the next pause may come before the vCPU woke from the last */
        type(&s, "info registers\r");
        check(&s, expect(&s, "RIP 00000000001", 15), "info registers shows where the guest is");
        check(&s, expect(&s, "(trine) ", 8), "the prompt is back");
    }
    type(&s, "info mem\r");
    check(&s, expect(&s, "RAM ", 4), "info mem");
    type(&s, "Q\r");
    check(&s, expect(&s, "no such command: Q", 18), "a command that is none");
    type(&s, "\001c");
    type(&s, "z");
    check(&s, expect(&s, "z", 1), "Ctrl-A c goes back to the guest, which runs");
    type(&s, "\001cquit\r");
    finish(&s, EXITED(0));
}

static void test_guest_ends(const char *trine, const char *echo)
{
    struct session s;
    start(&s, "guest ends", trine, (const char *const[]){"--kernel", echo, NULL});
    check(&s, expect(&s, "!", 1), "the guest starts");
    type(&s, "Q");
    finish(&s, EXITED(33));
    start(&s, "time is over", trine, (const char *const[]){"--kernel", echo, "--max-time", "0.5", NULL});
    finish(&s, EXITED(124));
    start(&s, "no kernel", trine, (const char *const[]){"--kernel", "/nonexistent", NULL});
    check(&s, expect(&s, "trine: /nonexistent: No such file or directory\r\n", 48),
          "the error, on a cooked terminal");
    finish(&s, EXITED(3));
}

/* SIG from outside ends it with wait status STATUS. */
static void test_signal(const char *trine, const char *echo, int sig, int status)
{
    struct session s;
    char name[32];
    snprintf(name, sizeof name, "signal %d", sig);
    start(&s, name, trine, (const char *const[]){"--kernel", echo, NULL});
    check(&s, expect(&s, "!", 1) && is_raw(&s), "the guest starts");
    kill(s.pid, sig);
    finish(&s, status);
}

static void test_stop(const char *trine, const char *echo)
{
    struct session s;
    start(&s, "stop", trine, (const char *const[]){"--kernel", echo, NULL});
    check(&s, expect(&s, "!", 1) && is_raw(&s), "the guest starts");
    for (int i = 0; i < 2; i++) {
        kill(s.pid, SIGTSTP);
        check(&s, WIFSTOPPED(end(&s, true)), "it stops");
        check(&s, is_restored(&s), "restored while it is stopped");
        kill(s.pid, SIGCONT);
        check(&s, wait_raw(&s, true), "raw again");
        type(&s, "x");
        check(&s, expect(&s, "x", 1), "the guest runs on");
    }
    /* A shell that saw it stopped by SIGSTOP has set its own modes. */
    kill(s.pid, SIGSTOP);
    check(&s, WIFSTOPPED(end(&s, true)), "SIGSTOP");
    tcsetattr(s.slave, TCSANOW, &s.before);
    kill(s.pid, SIGCONT);
    check(&s, wait_raw(&s, true), "raw again after SIGSTOP");
    /* Stopped, and then told to end. */
    kill(s.pid, SIGTSTP);
    check(&s, WIFSTOPPED(end(&s, true)), "it stops again");
    kill(s.pid, SIGTERM);
    kill(s.pid, SIGCONT);
    finish(&s, EXITED(128 + SIGTERM));
}

/* A guest that never looks at its serial port: Ctrl-A x works all the same. */
static void test_hung(const char *trine, const char *hang)
{
    struct session s;
    start(&s, "hung guest", trine, (const char *const[]){"--kernel", hang, NULL});
    check(&s, expect(&s, "hanging", 7), "the guest starts");
    for (int i = 0; i < 30; i++)
        type(&s, "is anybody there? ");
    type(&s, "\001x");
    finish(&s, EXITED(0));
}

/* Nothing is read under virtual time: the terminal keeps its modes, Ctrl-C is SIGINT. */
static void test_virtual(const char *trine, const char *hang)
{
    struct session s;
    start(&s, "virtual time", trine, (const char *const[]){"--kernel", hang, "--time", "virtual", NULL});
    check(&s, expect(&s, "hanging", 7), "the guest starts");
    check(&s, is_restored(&s), "not raw");
    type(&s, "\003");
    finish(&s, EXITED(128 + SIGINT));
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: pty_cli TRINE ECHO-IMAGE HANG-IMAGE\n");
        return 1;
    }
    static const int signals[] = {SIGTERM, SIGHUP, SIGINT, SIGQUIT},
                     crashes[] = {SIGSEGV, SIGABRT, SIGILL, SIGFPE, SIGBUS};
    test_prompt(argv[1], argv[2]);
    test_keys(argv[1], argv[2]);
    test_guest_ends(argv[1], argv[2]);
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++)
        test_signal(argv[1], argv[2], signals[i], EXITED(128 + signals[i]));
    /* Under a sanitizer these signals are its own. */
    for (size_t i = 0; !getenv("TRINE_SANITIZED") && i < sizeof crashes / sizeof crashes[0]; i++) {
        struct session s;
        start(&s, "crash", argv[1], (const char *const[]){"--kernel", argv[2], NULL});
        check(&s, expect(&s, "!", 1) && is_raw(&s), "the guest starts");
        kill(s.pid, crashes[i]);
        int status = end(&s, false);
        check(&s, WIFSIGNALED(status) && WTERMSIG(status) == crashes[i], "it dies of the signal");
        check(&s, is_restored(&s), "the terminal is as it was");
        close(s.master), close(s.slave);
    }
    test_stop(argv[1], argv[2]);
    test_hung(argv[1], argv[3]);
    test_virtual(argv[1], argv[3]);
    return failures ? 1 : 0;
}
