/* agent.c - finds, reads and checks the program that is brought to another machine. */
#include "haul/net/agent.h"

#include "haul/base/cleanup.h"
#include "haul/base/hash.h"
#include "haul/base/num.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static const char sums_name[] = "haul-agents.sums";

/* Other names of the machines that there are agents for. */
static const char *machine_name(const char *machine)
{
    if (strcmp(machine, "i686") == 0)
        return "i386";
    return strcmp(machine, "arm64") == 0 ? "aarch64" : machine;
}

/* The folders to look in, by where haul itself is. */
static int folders_find(char own[PATH_MAX], char lib[PATH_MAX + 16])
{
    ssize_t length = readlink("/proc/self/exe", own, PATH_MAX - 1);
    if (length < 0)
        return -errno;
    own[length] = '\0';
    char *slash = strrchr(own, '/');
    if (!slash)
        return -ENOENT;
    *slash = '\0';
    slash = strrchr(own, '/');
    snprintf(lib, PATH_MAX + 16, "%.*s/lib/haul", slash ? (int)(slash - own) : 0, own);
    return 0;
}

static int read_whole(struct agent *agent, int fd, size_t length)
{
    size_t filled = 0;
    while (filled < length) {
        ssize_t got = read(fd, agent->bytes + filled, length - filled);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got < 0 ? -errno : -EIO;
        filled += (size_t)got;
    }
    return 0;
}

/* The digest that the list in the agent's folder has for it. */
static int listed(const char *folder, const char *name, char digest[DIGEST_TEXT_BYTES])
{
    char path[PATH_MAX + 64], line[DIGEST_TEXT_BYTES + AGENT_NAME_BYTES + 8];
    int result = -ENOENT;
    snprintf(path, sizeof(path), "%s/%s", folder, sums_name);
    FILE *file = fopen(path, "re");
    if (!file)
        return -errno;
    while (result < 0 && fgets(line, sizeof(line), file)) {
        line[strcspn(line, "\n")] = '\0';
        if (strlen(line) < DIGEST_TEXT_BYTES + 1 || strcmp(line + DIGEST_TEXT_BYTES + 1, name) != 0)
            continue;
        memcpy(digest, line, DIGEST_TEXT_BYTES - 1);
        digest[DIGEST_TEXT_BYTES - 1] = '\0';
        result = 0;
    }
    fclose(file);
    return result;
}

/* What the receipt of a copy in one chunk says: the digest of its only digest. */
static int digest_of_agent(const struct agent *agent, size_t length, struct digest *out)
{
    struct digest_fold *fold = digest_fold_open();
    if (!fold)
        return -ENOMEM;
    struct digest digest = digest_of(agent->bytes, length);
    digest_fold_add(fold, &digest);
    *out = digest_fold_value(fold);
    digest_fold_close(fold);
    return 0;
}

static int check(const struct agent *agent, const char *folder, size_t length, struct error *err)
{
    struct digest digest;
    char is[DIGEST_TEXT_BYTES], should[DIGEST_TEXT_BYTES];
    int result = listed(folder, agent->name, should);
    if (result < 0)
        return error_set_class(err, ERROR_START, -result,
                               "%s/%s: %s beside it has no digest of it: it is not sent", folder,
                               agent->name, sums_name);
    result = digest_of_agent(agent, length, &digest);
    if (result < 0)
        return error_set_class(err, ERROR_MEMORY, -result, "no memory for a digest");
    if (strcmp(digest_text(is, &digest), should) != 0)
        return error_set_class(err, ERROR_START, EBADMSG,
                               "%s/%s: is not what %s beside it says: it is not sent", folder,
                               agent->name, sums_name);
    return 0;
}

/* -ENOENT without words: it is not in this folder. */
static int load(struct agent *agent, const char *folder, size_t block_bytes, struct error *err)
{
    char path[PATH_MAX + 64];
    struct stat st;
    snprintf(path, sizeof(path), "%s/%s", folder, agent->name);
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return -ENOENT;
    if (fd < 0 || fstat(fd, &st) < 0)
        return error_set_class(err, ERROR_START, errno, "%s: %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode) || st.st_size == 0 || st.st_size > AGENT_BYTES_MAX)
        return error_set_class(err, ERROR_START, EINVAL, "%s: is no agent, by its size", path);
    size_t length = (size_t)st.st_size;
    agent->length = (size_t)div_ceil(length, block_bytes) * block_bytes;
    agent->bytes = calloc(1, agent->length);
    if (!agent->bytes)
        return error_set_class(err, ERROR_MEMORY, ENOMEM, "%s: no memory for it", path);
    int result = read_whole(agent, fd, length);
    if (result < 0)
        return error_set_class(err, ERROR_START, -result, "%s: %s", path, strerror(-result));
    return check(agent, folder, length, err);
}

int agent_open(struct agent *agent, const char *machine, size_t block_bytes, struct error *err)
{
    char own[PATH_MAX], lib[PATH_MAX + 16];
    *agent = (struct agent){.bytes = NULL};
    snprintf(agent->name, sizeof(agent->name), "haul-agent-%.*s", AGENT_MACHINE_BYTES - 1,
             machine_name(machine));
    if (strchr(machine, '/') || folders_find(own, lib) < 0)
        return error_set_class(err, ERROR_START, ENOENT, "no agent for %s can be looked for",
                               machine);
    int result = load(agent, own, block_bytes, err);
    if (result == -ENOENT && !error_is_set(err))
        result = load(agent, lib, block_bytes, err);
    if (result == -ENOENT && !error_is_set(err))
        error_set_class(err, ERROR_START, ENOENT,
                        "no agent for %s: %s is neither in %s nor in %s ('make agent' builds "
                        "agents)",
                        machine, agent->name, own, lib);
    return result;
}

void agent_close(struct agent *agent)
{
    free(agent->bytes);
    agent->bytes = NULL;
}
