// Stands in for the kernel's driver of an Intel GPU (xe), so that Mesa's Vulkan driver opens and compiles without one. Preloaded into a program it
// answers what libdrm and the driver ask: which GPUs there are, what they consist of, memory, and work, which is "done" at once and never runs.
// Debian packages such libraries for other vendors (mesa-drm-shim), none for Intel. Written from the kernel's own headers, drm/xe_drm.h and drm/drm.h.
// tests/lab.sh builds it.
//
// GRADUS_INTEL: the PCI id of the chip, in hexadecimal. GRADUS_INTEL_DEBUG=1 tells what was asked and not known.

#define _GNU_SOURCE
#include <drm/drm.h>
#include <drm/xe_drm.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define GIB (1ull << 30)

struct chip {
    unsigned id, revision;
    // units of the vector engines' first level (Xe cores), engines in each, and the version of the graphics block where the kernel tells it
    unsigned cores, engines, major, minor;
    unsigned long long vram;
};

static const struct chip chips[] = {
    {0xe20b, 4, 20, 8, 20, 1, 12 * GIB}, // Battlemage, Arc B580
    {0x64a0, 4, 8, 8, 20, 4, 0},         // Lunar Lake
    {0x56a0, 8, 32, 16, 12, 55, 16 * GIB}, // Alchemist, Arc A770
    {0x7d51, 4, 8, 16, 12, 74, 0},       // Arrow Lake H
    {0x7d55, 4, 8, 16, 12, 71, 0},       // Meteor Lake
    {0x9a49, 1, 6, 16, 12, 0, 0},        // Tiger Lake
};

static const struct chip *chip = &chips[0];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
// The "device": a file in memory. A buffer is a piece of it, so that mapping works by itself.
static int device = -1;
static char node[64];

enum { MOST = 1 << 16 };
static struct { unsigned long long offset, size; } buffers[MOST];
static unsigned long long points[MOST];
static unsigned long long used = 1 << 20;
static unsigned next_buffer = 1, next_sync = 1, next_other = 1;

static void __attribute__((constructor)) start(void) {
    const char *wanted = getenv("GRADUS_INTEL");
    unsigned id = wanted ? strtoul(wanted, NULL, 16) : chips[0].id;
    for (unsigned i = 0; i < sizeof chips / sizeof *chips; i++)
        if (chips[i].id == id) chip = &chips[i];
    device = memfd_create("gradus-intel", MFD_CLOEXEC);
    if (device < 0 || ftruncate(device, 1ll << 42)) {
        perror("gradus_intel: no memory for a device");
        _exit(1);
    }
    snprintf(node, sizeof node, "/proc/self/fd/%d", device);
}

static int refused(const char *what, unsigned long number) {
    if (getenv("GRADUS_INTEL_DEBUG")) fprintf(stderr, "gradus_intel: %s %lu is not known\n", what, number);
    errno = EINVAL;
    return -1;
}

// What libdrm reads from /sys.

struct bus { uint16_t domain; uint8_t bus, dev, func; };
struct pci { uint16_t vendor, device, subvendor, subdevice; uint8_t revision; };
struct drm_device { char **nodes; int available, bustype; struct bus *bus; struct pci *info; };
enum { PRIMARY, CONTROL, RENDER, NODES };

static struct drm_device *found(void) {
    struct { struct drm_device d; char *nodes[NODES]; struct bus bus; struct pci info; } *all = calloc(1, sizeof *all);
    if (!all) return NULL;
    for (int i = 0; i < NODES; i++) all->nodes[i] = node;
    all->bus.dev = 2;
    all->info = (struct pci){0x8086, chip->id, 0x8086, 0x1000, chip->revision};
    all->d = (struct drm_device){all->nodes, 1 << RENDER, 0, &all->bus, &all->info};
    return &all->d;
}

int drmGetDevices2(uint32_t flags, struct drm_device *devices[], int most) {
    (void)flags;
    if (devices && most > 0 && !(devices[0] = found())) return -ENOMEM;
    return 1;
}

int drmGetDevice2(int fd, uint32_t flags, struct drm_device **d) {
    (void)fd, (void)flags;
    return (*d = found()) ? 0 : -ENOMEM;
}

void drmFreeDevice(struct drm_device **d) {
    if (d) free(*d), *d = NULL;
}

void drmFreeDevices(struct drm_device *devices[], int count) {
    for (int i = 0; i < count; i++) drmFreeDevice(&devices[i]);
}

// What the kernel answers.

static int version(struct drm_version *v) {
    v->version_major = 1, v->version_minor = 1, v->version_patchlevel = 0;
    if (v->name && v->name_len >= 2) memcpy(v->name, "xe", 2);
    v->name_len = 2, v->date_len = 0, v->desc_len = 0;
    return 0;
}

// The answer to a query: its size if the asker has no room yet.
static int give(struct drm_xe_device_query *q, const void *answer, size_t size) {
    if (q->size >= size && q->data) memcpy((void *)(uintptr_t)q->data, answer, size);
    q->size = size;
    return 0;
}

static int query(struct drm_xe_device_query *q) {
    _Alignas(8) unsigned char room[1024] = {0};
    switch (q->query) {
    case DRM_XE_DEVICE_QUERY_ENGINES: {
        struct drm_xe_query_engines *a = (void *)room;
        a->num_engines = 2;
        a->engines[0].instance.engine_class = DRM_XE_ENGINE_CLASS_RENDER;
        a->engines[1].instance.engine_class = DRM_XE_ENGINE_CLASS_COMPUTE;
        return give(q, a, sizeof *a + 2 * sizeof a->engines[0]);
    }
    case DRM_XE_DEVICE_QUERY_MEM_REGIONS: {
        struct drm_xe_query_mem_regions *a = (void *)room;
        a->num_mem_regions = chip->vram ? 2 : 1;
        a->mem_regions[0] = (struct drm_xe_mem_region){.mem_class = DRM_XE_MEM_REGION_CLASS_SYSMEM, .min_page_size = 4096, .total_size = 16 * GIB};
        a->mem_regions[1] = (struct drm_xe_mem_region){
            .mem_class = DRM_XE_MEM_REGION_CLASS_VRAM,
            .instance = 1,
            .min_page_size = 65536,
            .total_size = chip->vram,
            .cpu_visible_size = chip->vram,
        };
        return give(q, a, sizeof *a + a->num_mem_regions * sizeof a->mem_regions[0]);
    }
    case DRM_XE_DEVICE_QUERY_CONFIG: {
        struct drm_xe_query_config *a = (void *)room;
        a->num_params = 5;
        a->info[DRM_XE_QUERY_CONFIG_REV_AND_DEVICE_ID] = chip->id | chip->revision << 16;
        a->info[DRM_XE_QUERY_CONFIG_FLAGS] = chip->vram ? DRM_XE_QUERY_CONFIG_FLAG_HAS_VRAM : 0;
        a->info[DRM_XE_QUERY_CONFIG_MIN_ALIGNMENT] = chip->vram ? 65536 : 4096;
        a->info[DRM_XE_QUERY_CONFIG_VA_BITS] = 48;
        a->info[DRM_XE_QUERY_CONFIG_MAX_EXEC_QUEUE_PRIORITY] = 1;
        return give(q, a, sizeof *a + 5 * sizeof a->info[0]);
    }
    case DRM_XE_DEVICE_QUERY_GT_LIST: {
        struct drm_xe_query_gt_list *a = (void *)room;
        a->num_gt = 1;
        a->gt_list[0] = (struct drm_xe_gt){
            .type = DRM_XE_QUERY_GT_TYPE_MAIN,
            .reference_clock = 19200000,
            .near_mem_regions = chip->vram ? 2 : 1,
            .far_mem_regions = chip->vram ? 1 : 0,
            .ip_ver_major = chip->major,
            .ip_ver_minor = chip->minor,
            .ip_ver_rev = chip->revision,
        };
        return give(q, a, sizeof *a + sizeof a->gt_list[0]);
    }
    case DRM_XE_DEVICE_QUERY_GT_TOPOLOGY: {
        const unsigned long long cores = (1ull << chip->cores) - 1, engines = (1ull << chip->engines) - 1, banks = 0xff;
        const struct { unsigned type, bytes; unsigned long long mask; } masks[] = {
            {DRM_XE_TOPO_DSS_GEOMETRY, 8, cores},
            {DRM_XE_TOPO_DSS_COMPUTE, 8, cores},
            {DRM_XE_TOPO_L3_BANK, 8, banks},
            {chip->major >= 20 ? DRM_XE_TOPO_SIMD16_EU_PER_DSS : DRM_XE_TOPO_EU_PER_DSS, 4, engines},
        };
        size_t at = 0;
        for (unsigned i = 0; i < sizeof masks / sizeof *masks; i++) {
            struct drm_xe_query_topology_mask *m = (void *)(room + at);
            m->type = masks[i].type, m->num_bytes = masks[i].bytes;
            memcpy(m->mask, &masks[i].mask, masks[i].bytes);
            at += sizeof *m + masks[i].bytes;
        }
        return give(q, room, at);
    }
    case DRM_XE_DEVICE_QUERY_ENGINE_CYCLES: {
        struct drm_xe_query_engine_cycles a = {.width = 36};
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        a.cpu_timestamp = now.tv_sec * 1000000000ull + now.tv_nsec;
        a.engine_cycles = a.cpu_timestamp / 52;
        return give(q, &a, sizeof a);
    }
    case DRM_XE_DEVICE_QUERY_HWCONFIG: {
        // the firmware's table of keys, lengths and values, as far as it is not told elsewhere: vector engines, and threads of each
        const uint32_t table[] = {3, 1, chip->engines, 15, 1, 8};
        return give(q, table, sizeof table);
    }
    default:
        // the profiler's: the driver does without
        return refused("query", q->query);
    }
}

static int create(struct drm_xe_gem_create *c) {
    if (next_buffer >= MOST) return errno = ENOMEM, -1;
    const unsigned long long size = (c->size + 65535) & ~65535ull;
    buffers[next_buffer].offset = used, buffers[next_buffer].size = size;
    used += size;
    c->handle = next_buffer++;
    return 0;
}

static int release(const struct drm_gem_close *c) {
    if (c->handle < MOST && buffers[c->handle].size)
        fallocate(device, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, buffers[c->handle].offset, buffers[c->handle].size);
    return 0;
}

static void reach(unsigned handle, unsigned long long point) {
    if (handle < MOST && points[handle] < point) points[handle] = point;
}

static void reach_all(uint64_t handles, uint64_t values, unsigned count) {
    const uint32_t *h = (void *)(uintptr_t)handles;
    const uint64_t *v = (void *)(uintptr_t)values;
    for (unsigned i = 0; i < count; i++) reach(h[i], v[i]);
}

// Work is done as soon as it is asked for.
static int done(uint64_t syncs, unsigned count) {
    const struct drm_xe_sync *s = (void *)(uintptr_t)syncs;
    for (unsigned i = 0; i < count; i++) {
        if (!(s[i].flags & DRM_XE_SYNC_FLAG_SIGNAL)) continue;
        if (s[i].type == DRM_XE_SYNC_TYPE_TIMELINE_SYNCOBJ) reach(s[i].handle, s[i].timeline_value);
        if (s[i].type == DRM_XE_SYNC_TYPE_USER_FENCE) *(uint64_t *)(uintptr_t)s[i].addr = s[i].timeline_value;
    }
    return 0;
}

static int answer(unsigned long request, void *arg) {
    switch (request) {
    case DRM_IOCTL_VERSION: return version(arg);
    case DRM_IOCTL_GET_CAP: return ((struct drm_get_cap *)arg)->value = 1, 0;
    case DRM_IOCTL_SET_CLIENT_CAP: return 0;
    case DRM_IOCTL_GEM_CLOSE: return release(arg);
    case DRM_IOCTL_SYNCOBJ_CREATE:
        if (next_sync >= MOST) return errno = ENOMEM, -1;
        return ((struct drm_syncobj_create *)arg)->handle = next_sync++, 0;
    case DRM_IOCTL_SYNCOBJ_DESTROY:
    case DRM_IOCTL_SYNCOBJ_RESET:
    case DRM_IOCTL_SYNCOBJ_SIGNAL:
    case DRM_IOCTL_SYNCOBJ_WAIT: return 0;
    case DRM_IOCTL_SYNCOBJ_TRANSFER: {
        const struct drm_syncobj_transfer *t = arg;
        return reach(t->dst_handle, t->dst_point), 0;
    }
    case DRM_IOCTL_SYNCOBJ_TIMELINE_WAIT: {
        const struct drm_syncobj_timeline_wait *w = arg;
        return reach_all(w->handles, w->points, w->count_handles), 0;
    }
    case DRM_IOCTL_SYNCOBJ_TIMELINE_SIGNAL: {
        const struct drm_syncobj_timeline_array *a = arg;
        return reach_all(a->handles, a->points, a->count_handles), 0;
    }
    case DRM_IOCTL_SYNCOBJ_QUERY: {
        const struct drm_syncobj_timeline_array *a = arg;
        const uint32_t *handles = (void *)(uintptr_t)a->handles;
        uint64_t *values = (void *)(uintptr_t)a->points;
        for (unsigned i = 0; i < a->count_handles; i++) values[i] = handles[i] < MOST ? points[handles[i]] : 0;
        return 0;
    }
    case DRM_IOCTL_XE_DEVICE_QUERY: return query(arg);
    case DRM_IOCTL_XE_GEM_CREATE: return create(arg);
    case DRM_IOCTL_XE_GEM_MMAP_OFFSET: {
        struct drm_xe_gem_mmap_offset *m = arg;
        if (m->handle >= MOST) return refused("buffer", m->handle);
        return m->offset = buffers[m->handle].offset, 0;
    }
    case DRM_IOCTL_XE_VM_CREATE: return ((struct drm_xe_vm_create *)arg)->vm_id = next_other++, 0;
    case DRM_IOCTL_XE_EXEC_QUEUE_CREATE: return ((struct drm_xe_exec_queue_create *)arg)->exec_queue_id = next_other++, 0;
    case DRM_IOCTL_XE_EXEC_QUEUE_GET_PROPERTY: return ((struct drm_xe_exec_queue_get_property *)arg)->value = 0, 0;
    case DRM_IOCTL_XE_VM_BIND: {
        const struct drm_xe_vm_bind *b = arg;
        return done(b->syncs, b->num_syncs);
    }
    case DRM_IOCTL_XE_EXEC: {
        const struct drm_xe_exec *e = arg;
        return done(e->syncs, e->num_syncs);
    }
    case DRM_IOCTL_XE_VM_DESTROY:
    case DRM_IOCTL_XE_EXEC_QUEUE_DESTROY:
    case DRM_IOCTL_XE_WAIT_USER_FENCE: return 0;
    default: return refused("ioctl", _IOC_NR(request));
    }
}

int ioctl(int fd, unsigned long request, ...) {
    va_list list;
    va_start(list, request);
    void *arg = va_arg(list, void *);
    va_end(list);
    if (_IOC_TYPE(request) != DRM_IOCTL_BASE) return syscall(SYS_ioctl, fd, request, arg);
    pthread_mutex_lock(&lock);
    const int result = answer(request, arg);
    pthread_mutex_unlock(&lock);
    return result;
}
