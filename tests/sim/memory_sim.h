/* memory_sim.h - the memory of a simulated run: what the program asks for comes from one region,
 * and is used again. Pages that are new to a process cost more than all else that a seed does.
 *
 * malloc and its like of the program, not of the C library, are replaced at the link (--wrap, see
 * the Makefile); and the slots' memory by defining all functions of slab.h, so that the library's
 * object is not linked (that is tests/unit's business). Whoever runs on where the power was cut
 * forgets all of it at once, as the end of a process would; who ends has to give all of it back. */
#ifndef HAUL_TESTS_SIM_MEMORY_H
#define HAUL_TESTS_SIM_MEMORY_H

#include "say_sim.h"
#include "tasks_sim.h"

#include "haul/disk/slab.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#ifdef __SANITIZE_ADDRESS__
enum { MEMORY_IS_OURS = 0 }; /* it watches each block by itself */
#else
enum { MEMORY_IS_OURS = 1 };
#endif

enum {
    BLOCK_ALIGNMENT = 16,
    BLOCK_CLASSES = 256, /* of sizes: four for each power of two */
    SLABS_MAX = 64,
    SLAB_ALIGNMENT = 4096,
};

#define HEAP_BYTES ((size_t)256 << 20) /* of addresses */

/* In front of what its user gets. */
struct block {
    size_t bytes; /* of the user's: all that its class has */
    struct block *next;
};

static struct {
    uint8_t *start;
    size_t used_bytes, touched_bytes; /* touched: what lies behind has never been used: zeros */
    struct block *free[BLOCK_CLASSES];
    uint64_t blocks_count; /* that somebody has */
} heap;

void *__real_calloc(size_t count, size_t bytes);
void *__real_aligned_alloc(size_t alignment, size_t bytes);
int __real_posix_memalign(void **out, size_t alignment, size_t bytes);
void __real_free(void *memory);

void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_realloc(void *memory, size_t bytes);
void *__wrap_aligned_alloc(size_t alignment, size_t bytes);
int __wrap_posix_memalign(void **out, size_t alignment, size_t bytes);
void __wrap_free(void *memory);

static size_t max_size(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* The class, and by *bytes what it has. */
static uint32_t block_class(size_t *bytes)
{
    size_t step = BLOCK_ALIGNMENT, rest = (*bytes + step - 1) / step;
    uint32_t power = 0;
    for (; rest > 8; power++) /* 5 to 8 steps */
        rest = (rest + 1) / 2;
    *bytes = (rest ? rest : 1) * step << power;
    return power * 8 + (uint32_t)rest;
}

static bool block_is_ours(const void *memory)
{
    return heap.start && (const uint8_t *)memory >= heap.start &&
           (const uint8_t *)memory < heap.start + HEAP_BYTES;
}

static struct block *block_of(void *memory)
{
    return (struct block *)memory - 1;
}

/* One of that class that was given back; NULL: none of that alignment. */
static void *block_again(uint32_t class, size_t alignment)
{
    for (struct block **at = &heap.free[class]; *at; at = &(*at)->next) {
        struct block *block = *at;
        if ((uintptr_t)(block + 1) % alignment == 0) {
            *at = block->next;
            return block + 1;
        }
    }
    return NULL;
}

/* `zeros`: how many bytes of it have to be. */
static void *block_take(size_t alignment, size_t bytes, size_t zeros)
{
    size_t room = bytes;
    uint32_t class = block_class(&room);
    if (!heap.start)
        heap.start = mmap(NULL, HEAP_BYTES, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (heap.start == MAP_FAILED || class >= BLOCK_CLASSES)
        sim_fatal("no memory");
    uint8_t *memory = block_again(class, alignment);
    if (memory) {
        memset(memory, 0, zeros);
    } else {
        size_t at = (heap.used_bytes + sizeof(struct block) + alignment - 1) & ~(alignment - 1);
        if (at + room > HEAP_BYTES)
            sim_fatal("a run needs more than %zu bytes", HEAP_BYTES);
        memory = heap.start + at;
        if (at < heap.touched_bytes)
            memset(memory, 0, min_size(zeros, heap.touched_bytes - at));
        heap.used_bytes = at + room;
        heap.touched_bytes = max_size(heap.touched_bytes, heap.used_bytes);
    }
    heap.blocks_count++;
    *block_of(memory) = (struct block){.bytes = room};
    return memory;
}

static void block_give(void *memory)
{
    struct block *block = block_of(memory);
    size_t bytes = block->bytes;
    uint32_t class = block_class(&bytes);
    block->next = heap.free[class];
    heap.free[class] = block;
    heap.blocks_count--;
}

/* Of a run that has ended. */
static void heap_check(void)
{
    if (heap.blocks_count > 0)
        sim_fatal("%llu blocks of memory are lost", (unsigned long long)heap.blocks_count);
}

/* ---- what the C library would do ---- */

void *__wrap_malloc(size_t bytes)
{
    return sim.on && MEMORY_IS_OURS ? block_take(BLOCK_ALIGNMENT, bytes, 0) : __real_malloc(bytes);
}

void *__wrap_calloc(size_t count, size_t bytes)
{
    if (!sim.on || !MEMORY_IS_OURS)
        return __real_calloc(count, bytes);
    if (bytes > 0 && count > HEAP_BYTES / bytes)
        sim_fatal("a run wants %zu times %zu bytes", count, bytes);
    return block_take(BLOCK_ALIGNMENT, count * bytes, count * bytes);
}

void *__wrap_aligned_alloc(size_t alignment, size_t bytes)
{
    return sim.on && MEMORY_IS_OURS ? block_take(max_size(alignment, BLOCK_ALIGNMENT), bytes, 0)
                                    : __real_aligned_alloc(alignment, bytes);
}

int __wrap_posix_memalign(void **out, size_t alignment, size_t bytes)
{
    if (!sim.on || !MEMORY_IS_OURS)
        return __real_posix_memalign(out, alignment, bytes);
    *out = block_take(max_size(alignment, BLOCK_ALIGNMENT), bytes, 0);
    return 0;
}

void *__wrap_realloc(void *memory, size_t bytes)
{
    if (!block_is_ours(memory) && (memory || !sim.on || !MEMORY_IS_OURS))
        return __real_realloc(memory, bytes);
    void *larger = block_take(BLOCK_ALIGNMENT, bytes, 0);
    if (memory) {
        memcpy(larger, memory, min_size(bytes, block_of(memory)->bytes));
        block_give(memory);
    }
    return larger;
}

void __wrap_free(void *memory)
{
    if (block_is_ours(memory))
        block_give(memory);
    else
        __real_free(memory);
}

/* ---- slots ---- */

static struct {
    uint8_t *memory;
    size_t length_bytes;
    bool used;
} slabs[SLABS_MAX];

/* As from the kernel: zeros. */
int slab_open(struct slab *slab, uint32_t slots_count, uint32_t slot_bytes, struct error *err)
{
    size_t length_bytes = (size_t)slots_count * slot_bytes;
    uint32_t number = 0;
    (void)err;
    while (number < SLABS_MAX && slabs[number].memory &&
           (slabs[number].used || slabs[number].length_bytes < length_bytes))
        number++;
    if (number == SLABS_MAX)
        sim_fatal("more than %d lanes' memory", SLABS_MAX);
    if (!slabs[number].memory) {
        slabs[number].memory = __real_aligned_alloc(SLAB_ALIGNMENT, length_bytes);
        slabs[number].length_bytes = length_bytes;
    }
    if (!slabs[number].memory)
        sim_fatal("no memory");
    slabs[number].used = true;
    memset(slabs[number].memory, 0, length_bytes);
    *slab = (struct slab){
        .base = slabs[number].memory,
        .length_bytes = length_bytes,
        .slot_bytes = slot_bytes,
        .slots_count = slots_count,
        .mapping = slabs[number].memory,
        .mapping_bytes = length_bytes,
    };
    return 0;
}

void slab_close(struct slab *slab)
{
    for (uint32_t i = 0; slab && slab->mapping && i < SLABS_MAX; i++) {
        if (slabs[i].memory == slab->mapping)
            slabs[i].used = false;
    }
    if (slab)
        *slab = (struct slab){0};
}

uint8_t *slab_buffer(const struct slab *slab, uint32_t index)
{
    return slab->base + (size_t)index * slab->slot_bytes;
}

uint8_t *slab_pockets(uint32_t count, uint32_t pocket_bytes)
{
    void *memory = NULL;
    size_t bytes = (size_t)max_u64(1, (uint64_t)count * pocket_bytes);
    return posix_memalign(&memory, SLAB_ALIGNMENT, bytes) == 0 ? memory : NULL;
}

/* The process of the run is over, whatever it has. */
static void memory_forget(void)
{
    heap.used_bytes = 0;
    heap.blocks_count = 0;
    memset(heap.free, 0, sizeof(heap.free));
    for (uint32_t i = 0; i < SLABS_MAX; i++)
        slabs[i].used = false;
}

#endif
