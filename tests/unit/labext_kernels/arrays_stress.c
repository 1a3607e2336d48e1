/* Random use of labext/kernels/native/arrays.c, checked against a model after each step.
 *
 * `arrays_stress alone STEPS SEED`: contents and every figure; then many holes and many arrays.
 * `arrays_stress fork SEED`: forks while another thread allocates; children go on.
 * `arrays_stress threads STEPS SEED`: four threads that also free each other's arrays.
 * Ends with 0, or says what was wrong and aborts.
 */

#define _GNU_SOURCE
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern struct {
    char name[127];
    uint8_t version;
    void *context;
    void *(*malloc)(void *, size_t);
    void *(*calloc)(void *, size_t, size_t);
    void *(*realloc)(void *, void *, size_t);
    void (*free)(void *, void *, size_t);
} samepage_arrays_handler;
size_t samepage_arrays_release(void);
void samepage_arrays_set(size_t most, int huge);
void samepage_arrays_figures(uint64_t *into);

#define GIVE samepage_arrays_handler
#define CHECK(what)                                                                                \
    do {                                                                                           \
        if (!(what)) {                                                                             \
            fprintf(stderr, "line %d: %s\n", __LINE__, #what);                                     \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

enum { LIVE, BYTES, KEPT, MAPPED, REUSED, FIGURES };

typedef struct {
    unsigned char *start;
    size_t size;
    size_t pages; /* bytes of the table's entry, 0: malloc's */
    unsigned char fill;
} array;

static size_t page, least;

static unsigned random_below(unsigned *state, unsigned below)
{
    *state = *state * 1664525u + 1013904223u;
    return (unsigned)(((uint64_t)*state * below) >> 32);
}

static size_t whole(size_t size)
{
    return (size + page - 1) / page * page;
}

/* Sizes at and beside the limits; big ones are rare, for the sake of time. */
static size_t any_size(unsigned *state)
{
    size_t near[] = {1, 64, least, least, page * 5, page * 8, page * 33, (size_t)4 << 20};
    unsigned kind = random_below(state, 40);
    if (kind < 8)
        return near[kind] + random_below(state, 3) - (near[kind] > 1);
    if (kind < 20)
        return 1 + random_below(state, (unsigned)least * 2);
    return 1 + random_below(state, (unsigned)page * (kind == 39 ? 600 : 40));
}

static int all_are(const unsigned char *start, unsigned char byte, size_t size)
{
    return size == 0 || (start[0] == byte && memcmp(start, start + 1, size - 1) == 0);
}

static void fill(array *one, unsigned *state)
{
    one->fill = (unsigned char)(1 + random_below(state, 255));
    memset(one->start, one->fill, one->size);
}

static void make(array *one, unsigned *state)
{
    one->size = any_size(state);
    one->pages = one->size >= least ? whole(one->size) : 0;
    if (random_below(state, 3) == 0) {
        size_t each = one->size % 8 == 0 ? 8 : 1;
        one->start = GIVE.calloc(NULL, one->size / each, each);
        CHECK(one->start != NULL);
        CHECK(all_are(one->start, 0, one->pages ? one->pages : one->size));
    } else {
        one->start = GIVE.malloc(NULL, one->size);
        CHECK(one->start != NULL);
        CHECK(all_are(one->start + one->size, 0, one->pages ? one->pages - one->size : 0));
    }
    CHECK(!one->pages || (uintptr_t)one->start % page == 0);
    fill(one, state);
}

static void change(array *one, unsigned *state)
{
    size_t size = any_size(state), common = size < one->size ? size : one->size;
    unsigned char *start = GIVE.realloc(NULL, one->start, size);
    CHECK(start != NULL);
    CHECK(all_are(start, one->fill, common));
    one->pages = one->pages || size >= least ? whole(size) : 0;
    CHECK(!one->pages || (uintptr_t)start % page == 0);
    one->start = start;
    one->size = size;
    fill(one, state);
}

static void drop(array *one)
{
    CHECK(all_are(one->start, one->fill, one->size));
    GIVE.free(NULL, one->start, one->size);
    *one = (array){NULL, 0, 0, 0};
}

static size_t less(size_t a, size_t b)
{
    return a < b ? a : b;
}

static void alone(unsigned steps, unsigned state)
{
    enum { ARRAYS = 200 };
    static array all[ARRAYS];
    uint64_t was[FIGURES], now[FIGURES];
    size_t limit = (size_t)4 << 20, live = 0, bytes = 0;
    samepage_arrays_set(limit, 0);
    samepage_arrays_figures(was);
    for (unsigned step = 0; step < steps; step++) {
        array *one = &all[random_below(&state, ARRAYS)], old = *one;
        unsigned act = random_below(&state, 1000);
        int freed = 0, made = 0;
        if (act == 0) {
            CHECK(samepage_arrays_release() == was[KEPT]);
        } else if (act < 4) {
            limit = random_below(&state, 4) * ((size_t)2 << 20);
            samepage_arrays_set(limit, act == 3);
        } else if (one->start == NULL) {
            make(one, &state);
            made = one->pages != 0;
        } else if (act < 300) {
            change(one, &state);
        } else {
            drop(one);
            freed = old.pages != 0;
        }
        live += (one->pages != 0) - (old.pages != 0);
        bytes += one->pages - old.pages;
        samepage_arrays_figures(now);
        CHECK(now[LIVE] == live);
        CHECK(now[BYTES] == bytes);
        CHECK(now[KEPT] <= limit);
        uint64_t news = now[MAPPED] - was[MAPPED], again = now[REUSED] - was[REUSED];
        if (act == 0)
            CHECK(now[KEPT] == 0);
        else if (act < 4)
            CHECK(now[KEPT] == less(was[KEPT], limit));
        else if (freed)
            CHECK(now[KEPT] == (old.pages > limit ? was[KEPT] : less(was[KEPT] + old.pages, limit)));
        else if (made)
            CHECK(now[KEPT] == was[KEPT] - (again ? one->pages : 0));
        else if (old.pages && one->pages && one->pages < old.pages) {
            size_t rest = old.pages - one->pages;
            CHECK(now[KEPT] == (rest > limit ? was[KEPT] : less(was[KEPT] + rest, limit)));
        }
        CHECK(!made || news + again == 1);
        memcpy(was, now, sizeof was);
    }
    for (size_t each = 0; each < ARRAYS; each++)
        if (all[each].start != NULL)
            drop(&all[each]);
    CHECK(was[REUSED] > steps / 20);
    samepage_arrays_set((size_t)4 << 20, 0);
    GIVE.free(NULL, GIVE.malloc(NULL, page * 40), 0); /* some is kept, and fits no such size */
    CHECK(GIVE.malloc(NULL, SIZE_MAX) == NULL);
    CHECK(GIVE.calloc(NULL, SIZE_MAX / 8 + least, 8) == NULL);
    unsigned char *small = GIVE.malloc(NULL, least);
    CHECK(GIVE.realloc(NULL, small, SIZE_MAX - 5) == NULL);
    GIVE.free(NULL, small, least);
    GIVE.free(NULL, NULL, 7);
    small = GIVE.realloc(NULL, NULL, least);
    CHECK((uintptr_t)small % page == 0);
    GIVE.free(NULL, small, 0);
    samepage_arrays_release();
    samepage_arrays_figures(now);
    CHECK(now[LIVE] == 0 && now[BYTES] == 0 && now[KEPT] == 0);
}

static int by_address(const void *a, const void *b)
{
    const char *left = *(char *const *)a, *right = *(char *const *)b;
    return (left > right) - (left < right);
}

/* More holes than there are places for them. */
static void holes(void)
{
    enum { MANY = 3000, PLACES = 1024 };
    static char *all[MANY];
    uint64_t now[FIGURES];
    samepage_arrays_release();
    samepage_arrays_set((size_t)1 << 30, 0);
    for (size_t each = 0; each < MANY; each++) {
        all[each] = GIVE.malloc(NULL, least);
        memset(all[each], 5, least);
    }
    qsort(all, MANY, sizeof *all, by_address);
    for (size_t each = 0; each < MANY; each += 2)
        GIVE.free(NULL, all[each], least);
    samepage_arrays_figures(now);
    CHECK(now[KEPT] == PLACES * least);
    CHECK(now[LIVE] == MANY / 2);
    for (size_t each = 1; each < MANY; each += 2) {
        CHECK(all_are((unsigned char *)all[each], 5, least));
        GIVE.free(NULL, all[each], least);
    }
    samepage_arrays_figures(now);
    CHECK(now[LIVE] == 0 && now[KEPT] >= PLACES * least && now[KEPT] <= MANY * least);
    CHECK(samepage_arrays_release() == now[KEPT]);
}

/* More arrays than may have mappings of their own. */
static void many(void)
{
    enum { MOST = 1 << 15, MANY = MOST + 500 };
    static char *all[MANY];
    uint64_t now[FIGURES];
    for (size_t each = 0; each < MANY; each++) {
        all[each] = GIVE.malloc(NULL, least);
        CHECK(all[each] != NULL);
        if (each % 64 == 0 || each >= MOST)
            memset(all[each], (int)(each & 127), least);
    }
    samepage_arrays_figures(now);
    CHECK(now[LIVE] == MOST && now[BYTES] == MOST * least);
    all[MANY - 1] = GIVE.realloc(NULL, all[MANY - 1], least * 3);
    for (size_t turn = 0; turn < 7; turn++)
        for (size_t each = turn; each < MANY; each += 7) {
            CHECK((each % 64 && each < MOST) ||
                  all_are((unsigned char *)all[each], (unsigned char)(each & 127), least));
            GIVE.free(NULL, all[each], least);
        }
    samepage_arrays_figures(now);
    CHECK(now[LIVE] == 0 && now[BYTES] == 0);
    samepage_arrays_release();
}

static int ending;

static void *keep_busy(void *seed)
{
    unsigned state = *(unsigned *)seed;
    while (!__atomic_load_n(&ending, __ATOMIC_RELAXED)) {
        array one;
        make(&one, &state);
        change(&one, &state);
        drop(&one);
    }
    return NULL;
}

static void forks(unsigned state)
{
    enum { ARRAYS = 20, CHILDREN = 25 };
    static array all[ARRAYS];
    pthread_t other;
    samepage_arrays_set((size_t)4 << 20, 0);
    for (size_t each = 0; each < ARRAYS; each++)
        make(&all[each], &state);
    unsigned seed = state + 1;
    CHECK(pthread_create(&other, NULL, keep_busy, &seed) == 0);
    for (unsigned child = 0; child < CHILDREN; child++) {
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0) {
            alarm(20); /* a lock that nobody holds any more */
            for (size_t each = 0; each < ARRAYS; each++) {
                change(&all[each], &state);
                drop(&all[each]);
                make(&all[each], &state);
            }
            samepage_arrays_release();
            uint64_t now[FIGURES];
            samepage_arrays_figures(now);
            CHECK(now[KEPT] == 0);
            _exit(0);
        }
        int status;
        CHECK(waitpid(pid, &status, 0) == pid);
        CHECK(status == 0);
        change(&all[child % ARRAYS], &state);
    }
    __atomic_store_n(&ending, 1, __ATOMIC_RELAXED);
    pthread_join(other, NULL);
    for (size_t each = 0; each < ARRAYS; each++)
        drop(&all[each]);
    uint64_t now[FIGURES];
    samepage_arrays_figures(now);
    CHECK(now[LIVE] == 0 && now[BYTES] == 0 && now[KEPT] <= (size_t)4 << 20);
}

static pthread_mutex_t exchange = PTHREAD_MUTEX_INITIALIZER;
static array handed;
static unsigned all_steps;

static void *one_thread(void *seed)
{
    unsigned state = *(unsigned *)seed;
    array mine[8] = {{NULL, 0, 0, 0}};
    for (unsigned step = 0; step < all_steps; step++) {
        array *one = &mine[random_below(&state, 8)];
        unsigned act = random_below(&state, 100);
        if (one->start == NULL) {
            make(one, &state);
        } else if (act < 30) {
            change(one, &state);
        } else if (act < 60) {
            pthread_mutex_lock(&exchange);
            array other = handed;
            handed = *one;
            pthread_mutex_unlock(&exchange);
            *one = other;
        } else {
            drop(one);
        }
        if (act == 99)
            samepage_arrays_release();
        if (act == 98)
            samepage_arrays_set(random_below(&state, 4) << 20, 0);
    }
    for (size_t each = 0; each < 8; each++)
        if (mine[each].start != NULL)
            drop(&mine[each]);
    return NULL;
}

static void threads(unsigned steps, unsigned state)
{
    enum { THREADS = 4 };
    pthread_t all[THREADS];
    unsigned seeds[THREADS];
    uint64_t now[FIGURES];
    all_steps = steps;
    for (unsigned each = 0; each < THREADS; each++) {
        seeds[each] = state + each;
        CHECK(pthread_create(&all[each], NULL, one_thread, &seeds[each]) == 0);
    }
    for (unsigned each = 0; each < THREADS; each++)
        pthread_join(all[each], NULL);
    if (handed.start != NULL)
        drop(&handed);
    samepage_arrays_release();
    samepage_arrays_figures(now);
    CHECK(now[LIVE] == 0 && now[BYTES] == 0 && now[KEPT] == 0);
}

int main(int count, char **words)
{
    page = (size_t)sysconf(_SC_PAGESIZE);
    least = 4 * page;
    CHECK(count > 2);
    unsigned first = (unsigned)strtoul(words[2], NULL, 10);
    unsigned second = count > 3 ? (unsigned)strtoul(words[3], NULL, 10) : 0;
    if (strcmp(words[1], "alone") == 0) {
        alone(first, second);
        holes();
        many();
    } else if (strcmp(words[1], "fork") == 0) {
        forks(first);
    } else {
        threads(first, second);
    }
    return 0;
}
