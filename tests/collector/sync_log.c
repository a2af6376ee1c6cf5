/* Preloaded into a process: logs every write and sync to the files of the folder LUMINA_LOGGED to the file LUMINA_LOG.

   A record is: kind (Write, Sync, Truncate, Unlink), length of the name, position and length of the data (64 bits each),
   name, data. The name of the folder itself is a dot. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int log_fd = -1;

static void put(const void *data, size_t length) {
    while (length > 0) {
        ssize_t written = syscall(SYS_write, log_fd, data, length);
        if (written < 0) abort();
        data = (const char *)data + written;
        length -= written;
    }
}

static void keep(char kind, const char *name, uint64_t position, const void *data, uint64_t length) {
    const char *folder = getenv("LUMINA_LOGGED");
    size_t prefix = folder == NULL ? 0 : strlen(folder);
    if (prefix == 0 || strncmp(name, folder, prefix) != 0 || (name[prefix] != '/' && name[prefix] != 0)) return;
    const char *base = name[prefix] == 0 ? "." : name + prefix + 1;
    unsigned char name_length = strlen(base);
    pthread_mutex_lock(&lock);
    if (log_fd < 0) log_fd = syscall(SYS_openat, AT_FDCWD, getenv("LUMINA_LOG"), O_WRONLY | O_CREAT | O_APPEND, 0600);
    put(&kind, 1);
    put(&name_length, 1);
    put(&position, 8);
    put(&length, 8);
    put(base, name_length);
    if (data != NULL) put(data, length);
    pthread_mutex_unlock(&lock);
}

static void note(char kind, int fd, uint64_t position, const void *data, uint64_t length) {
    char link[64] = "/proc/self/fd/", name[4096];
    char digits[16];
    int count = 0;
    for (int rest = fd; count == 0 || rest > 0; rest /= 10) digits[count++] = '0' + rest % 10;
    for (int index = 0; index < count; index++) link[14 + index] = digits[count - 1 - index];
    ssize_t size = readlink(link, name, sizeof name - 1);
    if (size < 0) return;
    name[size] = 0;
    keep(kind, name, position, data, length);
}

ssize_t pwrite64(int fd, const void *data, size_t length, off64_t position) {
    ssize_t written = syscall(SYS_pwrite64, fd, data, length, position);
    if (written > 0) note('W', fd, position, data, written);
    return written;
}

ssize_t pwrite(int fd, const void *data, size_t length, off_t position) { return pwrite64(fd, data, length, position); }

int fdatasync(int fd) {
    int result = syscall(SYS_fdatasync, fd);
    if (result == 0) note('S', fd, 0, NULL, 0);
    return result;
}

int fsync(int fd) {
    int result = syscall(SYS_fsync, fd);
    if (result == 0) note('S', fd, 0, NULL, 0);
    return result;
}

int ftruncate64(int fd, off64_t length) {
    int result = syscall(SYS_ftruncate, fd, length);
    if (result == 0) note('T', fd, length, NULL, 0);
    return result;
}

int ftruncate(int fd, off_t length) { return ftruncate64(fd, length); }

int unlink(const char *name) {
    int result = syscall(SYS_unlinkat, AT_FDCWD, name, 0);
    if (result == 0) keep('U', name, 0, NULL, 0);
    return result;
}
