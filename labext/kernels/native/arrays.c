/* Memory of NumPy's big arrays: whole pages of their own, and used again before new ones are asked
 * for.
 *
 * Two students who compute the same array have equal bytes, but equal pages only if both arrays
 * begin at the same place of a page. In malloc's heap they do not: what was allocated before, a
 * message's number or a file's name, shifts them. Here an array of four pages or more begins with a
 * page.
 *
 * malloc would do that too, with a mapping for each big array (M_MMAP_THRESHOLD), but at the price
 * of a page fault and a page of zeros for every 4 kB of every intermediate result. So freed memory
 * is kept here, up to a limit, until samepage_arrays_release is called, which the kernel does soon
 * after a cell has ended.
 *
 * The functions fit NumPy's PyDataMem_Handler, version 1 (NEP 49). NumPy gives no size when it
 * changes one, and calls with pointers of the small arrays too, so the live ranges are in a table.
 *
 * No part of Python or NumPy is needed to compile or load this. Locks are for kernels with threads;
 * fork waits for them.
 */

#define _GNU_SOURCE
#include <malloc.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

/* Smaller ones are malloc's: below it, the rest of the last page would cost more than it gains. */
#define LEAST_PAGES 4
/* So are more of them: each may be a mapping, of which a process has 65530. Source: proc_sys_vm(5) */
#define MOST_LIVE ((size_t)1 << 15)
/* From here on NumPy asks for huge pages, and so does this. Source: numpy/_core/src/multiarray/alloc.c */
#define HUGE_FROM ((size_t)4 << 20)
#define EXTENTS 1024

typedef struct {
    char *start;
    size_t size;
} range;

typedef struct {
    char *start;
    size_t size;
    uint64_t freed; /* order in which they were freed */
} extent;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static size_t page = 4096, least = LEAST_PAGES * 4096;
static size_t most_kept = (size_t)64 << 20;
static int huge_pages = 0;

/* Freed memory that is still mapped, by address; neighbours are one. */
static extent kept[EXTENTS];
static size_t kept_count, kept_bytes;
static uint64_t frees;

/* Live arrays: open addressing, a power of two of places, at most half of them in use. */
static range first_places[1024];
static range *live = first_places;
static size_t live_places = 1024, live_count, live_bytes;

static uint64_t mapped_times, reused_times;

static size_t whole_pages(size_t size)
{
    return (size + page - 1) & ~(page - 1);
}

static void *map(size_t size)
{
    void *start = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return start == MAP_FAILED ? NULL : start;
}

static void unmap(void *start, size_t size)
{
    /* Fails where a hole would need one more mapping than the system allows: then at least its
     * pages go back. */
    if (munmap(start, size) != 0)
        madvise(start, size, MADV_DONTNEED);
}

/* ---- the table of live arrays ---- */

static size_t place_of(const void *start, size_t places)
{
    return (size_t)(((uintptr_t)start / page * UINT64_C(0x9E3779B97F4A7C15)) >> 16) & (places - 1);
}

static void enter(range *table, size_t places, range entry)
{
    size_t at = place_of(entry.start, places);
    while (table[at].start != NULL)
        at = (at + 1) & (places - 1);
    table[at] = entry;
}

static int room_for_one(void)
{
    if (live_count + 1 <= live_places / 2)
        return 1;
    size_t places = live_places * 2;
    range *table = map(places * sizeof(range));
    if (table == NULL)
        return 0;
    for (size_t at = 0; at < live_places; at++)
        if (live[at].start != NULL)
            enter(table, places, live[at]);
    if (live != first_places)
        unmap(live, live_places * sizeof(range));
    live = table;
    live_places = places;
    return 1;
}

/* Where it is, or NULL: not one of ours. */
static range *find(const void *start)
{
    if ((uintptr_t)start % page != 0)
        return NULL;
    for (size_t at = place_of(start, live_places); live[at].start != NULL;
         at = (at + 1) & (live_places - 1))
        if (live[at].start == start)
            return &live[at];
    return NULL;
}

static void add(char *start, size_t size)
{
    enter(live, live_places, (range){start, size});
    live_count++;
    live_bytes += size;
}

/* Later entries of the same run move up, so that a search never meets a hole before its goal. */
static void forget(range *entry)
{
    size_t hole = (size_t)(entry - live), mask = live_places - 1;
    live_count--;
    live_bytes -= entry->size;
    for (size_t at = (hole + 1) & mask; live[at].start != NULL; at = (at + 1) & mask) {
        size_t home = place_of(live[at].start, live_places);
        if (((at - home) & mask) >= ((at - hole) & mask)) {
            live[hole] = live[at];
            hole = at;
        }
    }
    live[hole] = (range){NULL, 0};
}

/* ---- freed memory ---- */

static void remove_kept(size_t number)
{
    kept_bytes -= kept[number].size;
    kept_count--;
    memmove(&kept[number], &kept[number + 1], (kept_count - number) * sizeof(extent));
}

/* Unmap until at most so many bytes are kept: the oldest first, and no more of it than it takes,
 * for neighbours that became one may be nearly all there is. */
static void drop_beyond(size_t most)
{
    while (kept_bytes > most) {
        size_t oldest = 0;
        for (size_t number = 1; number < kept_count; number++)
            if (kept[number].freed < kept[oldest].freed)
                oldest = number;
        size_t part = whole_pages(kept_bytes - most);
        if (part >= kept[oldest].size) {
            unmap(kept[oldest].start, kept[oldest].size);
            remove_kept(oldest);
        } else {
            kept[oldest].size -= part;
            kept_bytes -= part;
            unmap(kept[oldest].start + kept[oldest].size, part);
        }
    }
}

static void keep(char *start, size_t size)
{
    if (size > most_kept) {
        unmap(start, size);
        return;
    }
    drop_beyond(most_kept - size);
    size_t low = 0, high = kept_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (kept[middle].start < start)
            low = middle + 1;
        else
            high = middle;
    }
    int before = low > 0 && kept[low - 1].start + kept[low - 1].size == start;
    int after = low < kept_count && start + size == kept[low].start;
    frees++;
    kept_bytes += size;
    if (before) {
        kept[low - 1].size += size;
        kept[low - 1].freed = frees;
        if (after) {
            kept[low - 1].size += kept[low].size;
            kept_bytes += kept[low].size;
            remove_kept(low);
        }
        return;
    }
    if (after) {
        kept[low].start = start;
        kept[low].size += size;
        kept[low].freed = frees;
        return;
    }
    if (kept_count == EXTENTS) {
        kept_bytes -= size;
        unmap(start, size);
        return;
    }
    memmove(&kept[low + 1], &kept[low], (kept_count - low) * sizeof(extent));
    kept[low] = (extent){start, size, frees};
    kept_count++;
}

/* The smallest that is large enough, from its low end; NULL: none. */
static char *reuse(size_t size)
{
    size_t best = kept_count;
    for (size_t number = 0; number < kept_count; number++)
        if (kept[number].size >= size && (best == kept_count || kept[number].size < kept[best].size))
            best = number;
    if (best == kept_count)
        return NULL;
    char *start = kept[best].start;
    if (kept[best].size == size) {
        remove_kept(best);
    } else {
        kept[best].start += size;
        kept[best].size -= size;
        kept_bytes -= size;
    }
    reused_times++;
    return start;
}

static size_t release(void)
{
    size_t bytes = kept_bytes;
    while (kept_count > 0) {
        unmap(kept[kept_count - 1].start, kept[kept_count - 1].size);
        remove_kept(kept_count - 1);
    }
    return bytes;
}

/* ---- what NumPy calls ---- */

/* NULL: there is no memory, or there are too many; malloc may still have some. `zeros`: all of it
 * is 0. */
static void *allocate(size_t wanted, int zeros)
{
    if (wanted > PTRDIFF_MAX)
        return NULL;
    size_t size = whole_pages(wanted);
    pthread_mutex_lock(&lock);
    char *start = NULL;
    if (live_count < MOST_LIVE && room_for_one()) {
        start = reuse(size);
        if (start != NULL) {
            add(start, size);
            pthread_mutex_unlock(&lock);
            if (zeros)
                return memset(start, 0, size);
            /* Another array's bytes there would make the last page unlike. */
            memset(start + wanted, 0, size - wanted);
            return start;
        }
        start = map(size);
        if (start == NULL && release() > 0)
            start = map(size);
        if (start != NULL) {
            mapped_times++;
            add(start, size);
        }
    }
    int huge = huge_pages && size >= HUGE_FROM;
    pthread_mutex_unlock(&lock);
    if (start != NULL && huge)
        madvise(start, size, MADV_HUGEPAGE);
    return start;
}

static void *array_malloc(void *context, size_t size)
{
    (void)context;
    void *start = size < least ? NULL : allocate(size, 0);
    return start != NULL ? start : malloc(size);
}

static void *array_calloc(void *context, size_t count, size_t each)
{
    size_t size;
    (void)context;
    if (__builtin_mul_overflow(count, each, &size))
        return NULL;
    void *start = size < least ? NULL : allocate(size, 1);
    return start != NULL ? start : calloc(count, each);
}

static void array_free(void *context, void *start, size_t size)
{
    (void)context;
    (void)size; /* the table knows better: views and resized arrays are told wrong */
    if (start == NULL)
        return;
    pthread_mutex_lock(&lock);
    range *entry = find(start);
    if (entry != NULL) {
        size_t whole = entry->size;
        forget(entry);
        keep(start, whole);
    }
    pthread_mutex_unlock(&lock);
    if (entry == NULL)
        free(start);
}

/* Another size for one of ours; NULL: there is no memory, and nothing changed. */
static void *resize(char *start, size_t old, size_t size)
{
    if (size == old)
        return start;
    pthread_mutex_lock(&lock);
    forget(find(start));
    char *moved = start;
    if (size < old)
        keep(start + size, old - size);
    else
        moved = mremap(start, old, size, MREMAP_MAYMOVE);
    if (moved != MAP_FAILED)
        add(moved, size);
    else
        add(start, old);
    pthread_mutex_unlock(&lock);
    if (moved != MAP_FAILED)
        return moved;
    /* It may lie in two mappings, which cannot be moved as one. */
    moved = array_malloc(NULL, size);
    if (moved != NULL) {
        memcpy(moved, start, old);
        array_free(NULL, start, old);
    }
    return moved;
}

static void *array_realloc(void *context, void *start, size_t size)
{
    if (start == NULL)
        return array_malloc(context, size);
    pthread_mutex_lock(&lock);
    range *entry = find(start);
    size_t old = entry != NULL ? entry->size : 0;
    pthread_mutex_unlock(&lock);
    if (entry != NULL) {
        if (size > PTRDIFF_MAX)
            return NULL;
        /* One that became small stays here, with a page: the table knows it. */
        return resize(start, old, whole_pages(size > 0 ? size : 1));
    }
    void *moved = size < least ? NULL : allocate(size, 0);
    if (moved == NULL)
        return realloc(start, size);
    size_t usable = malloc_usable_size(start);
    memcpy(moved, start, usable < size ? usable : size);
    free(start);
    return moved;
}

typedef struct {
    char name[127];
    uint8_t version;
    struct {
        void *context;
        void *(*malloc)(void *, size_t);
        void *(*calloc)(void *, size_t, size_t);
        void *(*realloc)(void *, void *, size_t);
        void (*free)(void *, void *, size_t);
    } allocator;
} handler;

/* NumPy's PyDataMem_Handler. */
EXPORT handler samepage_arrays_handler = {
    "samepage_arrays", 1, {NULL, array_malloc, array_calloc, array_realloc, array_free}};

/* Freed memory goes back to the system; bytes of it. */
EXPORT size_t samepage_arrays_release(void)
{
    pthread_mutex_lock(&lock);
    size_t bytes = release();
    pthread_mutex_unlock(&lock);
    return bytes;
}

/* At most so many bytes are kept, and whether big arrays ask for huge pages. */
EXPORT void samepage_arrays_set(size_t most, int huge)
{
    pthread_mutex_lock(&lock);
    most_kept = most;
    huge_pages = huge;
    drop_beyond(most_kept);
    pthread_mutex_unlock(&lock);
}

/* Five numbers: live arrays, their bytes, bytes kept, times mapped, times used again. */
EXPORT void samepage_arrays_figures(uint64_t *into)
{
    pthread_mutex_lock(&lock);
    into[0] = live_count;
    into[1] = live_bytes;
    into[2] = kept_bytes;
    into[3] = mapped_times;
    into[4] = reused_times;
    pthread_mutex_unlock(&lock);
}

static void before_fork(void)
{
    pthread_mutex_lock(&lock);
}

static void after_fork(void)
{
    pthread_mutex_unlock(&lock);
}

__attribute__((constructor)) static void begin(void)
{
    long size = sysconf(_SC_PAGESIZE);
    if (size > 0)
        page = (size_t)size;
    least = LEAST_PAGES * page;
    pthread_atfork(before_fork, after_fork, after_fork);
}
