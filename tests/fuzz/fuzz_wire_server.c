/* fuzz_wire_server.c - any bytes as what a client says to a server that works on real files. What
 * must hold, whatever the bytes: the server ends, without an assertion of the local side's (it
 * trusts its caller), with a reason unless it was told goodbye, and leaves no descriptor open. It
 * is held to one folder, and to small files, so that no mutation does harm to the machine. */
#include "folder.h"
#include "fuzz_wire.h"

#include "haul/disk/place.h"
#include "haul/wire/serve.h"

#include <assert.h>
#include <signal.h>
#include <sys/resource.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);

enum { SCRATCH_BYTES_MAX = 1 << 20 };

static struct {
    char path[FOLDER_PATH_BYTES];
    struct place place;
    bool open;
} scratch;

static void scratch_remove(void)
{
    place_close(&scratch.place);
    folder_empty(scratch.path);
    rmdir(scratch.path);
}

static void scratch_open(void)
{
    const struct rlimit small = {.rlim_cur = SCRATCH_BYTES_MAX, .rlim_max = SCRATCH_BYTES_MAX};
    if (scratch.open)
        return;
    folder_open(scratch.path);
    signal(SIGXFSZ, SIG_IGN);
    if (setrlimit(RLIMIT_FSIZE, &small) != 0 || place_open(&scratch.place, scratch.path, NULL) < 0)
        abort();
    scratch.open = true;
    atexit(scratch_remove);
}

static void scratch_fill(void)
{
    static uint8_t content[3 * FUZZ_CHUNK_BYTES + 1000];
    char path[96];
    snprintf(path, sizeof(path), "%s/source", scratch.path);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, content, sizeof(content)) != (ssize_t)sizeof(content))
        abort();
    close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    struct error err = {.class = ERROR_NONE};
    if (length == 0)
        return 0;
    scratch_open();
    scratch_fill();
    uint32_t files = open_files();
    struct fuzz_link *fuzz = fuzz_link_open(data, length, WIRE_CLIENT);
    const struct serve_config config = {
        .link = &fuzz->link,
        .place = &scratch.place,
        .memory_bytes = 1024 * 1024,
    };
    int result = serve_run(&config, &err);
    assert((result < 0) == error_is_set(&err));
    link_close(&fuzz->link);
    assert(open_files() == files);
    folder_empty(scratch.path);
    return 0;
}
