/* A stand-in for libnvidia-ml.so.1, built by the tests with one of the machines
 * below. Figures are made up but for those of GB10, which a DGX Spark with
 * driver 580.173.02 returned.
 *
 * -DINIT=n      Init returns n
 * -DCARDS=n     that many cards
 * -DOLD         a driver from before R510: no second version of memory, one version
 *               of processes, no addressing mode, not even error texts
 * -DGB10        a chip that shares the system's memory and reports none
 * -DMIG         the first card is divided in two
 * -DLOST        the second card is lost
 * -DGONE        the second card is lost, and there is no handle of it
 */
#include <stdio.h>
#include <string.h>

#ifndef INIT
#define INIT 0
#endif
#ifndef CARDS
#define CARDS 1
#endif

typedef int ret;
typedef long dev; /* 1, 2 … are cards, 101, 102 … parts of the first */
typedef struct { unsigned long long total, free, used; } mem1;
typedef struct { unsigned version; unsigned long long total, reserved, free, used; } mem2;
typedef struct { unsigned gpu, memory; } util;
typedef struct { char legacy[16]; unsigned domain, bus, device, id, sub; char bus_id[32]; } pci;
typedef struct { unsigned pid; unsigned long long used; } proc1;
typedef struct { unsigned pid; unsigned long long used; unsigned gi, ci; } proc2;

enum { OK = 0, INVALID = 2, UNSUPPORTED = 3, DENIED = 4, NOTFOUND = 6, LOSTGPU = 15 };

static int lost(dev d) {
#ifdef LOST
	return d == 2;
#endif
	return 0;
}

ret nvmlInit_v2(void) { return INIT; }
ret nvmlShutdown(void) { return OK; }
ret nvmlDeviceGetCount_v2(unsigned *n) { *n = CARDS; return OK; }
ret nvmlDeviceGetHandleByIndex_v2(unsigned i, dev *d) {
#ifdef GONE
	if (i == 1) return LOSTGPU;
#endif
	*d = i + 1;
	return OK;
}
ret nvmlDeviceGetHandleByPciBusId_v2(const char *bus, dev *d) {
	unsigned domain, b;
	if (sscanf(bus, "%x:%x", &domain, &b) != 2) return INVALID;
	*d = b;
	return OK;
}
ret nvmlSystemGetDriverVersion(char *s, unsigned n) { snprintf(s, n, "580.173.02"); return OK; }
ret nvmlSystemGetCudaDriverVersion(int *v) { *v = 13000; return OK; }
ret nvmlDeviceGetName(dev d, char *s, unsigned n) {
	if (lost(d)) return LOSTGPU;
#ifdef GB10
	snprintf(s, n, "NVIDIA GB10");
#else
	snprintf(s, n, d > 100 ? "NVIDIA H100 80GB HBM3 MIG 3g.40gb" : "NVIDIA H100 80GB HBM3");
#endif
	return OK;
}
ret nvmlDeviceGetUUID(dev d, char *s, unsigned n) {
	snprintf(s, n, d > 100 ? "MIG-00000000-0000-0000-0000-%012ld" : "GPU-00000000-0000-0000-0000-%012ld", d);
	return OK;
}
ret nvmlDeviceGetPciInfo_v3(dev d, pci *p) {
	if (lost(d)) return LOSTGPU;
	memset(p, 0, sizeof *p);
	p->bus = (unsigned)d;
	return OK;
}
ret nvmlDeviceGetCudaComputeCapability(dev d, int *major, int *minor) {
#ifdef GB10
	*major = 12, *minor = 1;
#else
	*major = 9, *minor = 0;
#endif
	return OK;
}
ret nvmlDeviceGetMemoryInfo(dev d, mem1 *m) {
#ifdef GB10
	return UNSUPPORTED;
#endif
	m->total = 85520809984ULL, m->free = 84000000000ULL, m->used = m->total - m->free;
	return OK;
}
ret nvmlDeviceGetUtilizationRates(dev d, util *u) {
#ifdef MIG
	return UNSUPPORTED;
#endif
	u->gpu = 37, u->memory = 12;
	return OK;
}
ret nvmlDeviceGetTemperature(dev d, int sensor, unsigned *t) { *t = 41; return OK; }
ret nvmlDeviceGetPowerUsage(dev d, unsigned *mw) { *mw = 123400; return OK; }
ret nvmlDeviceGetEnforcedPowerLimit(dev d, unsigned *mw) { return DENIED; }
ret nvmlDeviceGetCurrPcieLinkGeneration(dev d, unsigned *v) { *v = 1; return OK; }
ret nvmlDeviceGetMaxPcieLinkGeneration(dev d, unsigned *v) { *v = 5; return OK; }
ret nvmlDeviceGetCurrPcieLinkWidth(dev d, unsigned *v) { *v = 16; return OK; }
ret nvmlDeviceGetMaxPcieLinkWidth(dev d, unsigned *v) { *v = 16; return OK; }

#ifdef OLD
ret nvmlDeviceGetComputeRunningProcesses(dev d, unsigned *n, proc1 *p) {
	*n = 1;
	p[0].pid = 4242, p[0].used = ~0ULL; /* not available */
	return OK;
}
#else
ret nvmlDeviceGetIndex(dev d, unsigned *i) { *i = (unsigned)d - 1; return OK; }
const char *nvmlErrorString(ret r) { return "an error"; }
ret nvmlDeviceGetMemoryInfo_v2(dev d, mem2 *m) {
#ifdef GB10
	return UNSUPPORTED;
#endif
	if (d > 100) {
		m->total = 42144366592ULL, m->reserved = 0, m->used = 44433408ULL;
		m->free = m->total - m->used;
		return OK;
	}
	m->total = 85520809984ULL, m->reserved = 503316480ULL, m->used = 1073741824ULL;
	m->free = m->total - m->reserved - m->used;
	return OK;
}
ret nvmlDeviceGetComputeRunningProcesses_v3(dev d, unsigned *n, proc2 *p) {
	if (*n < 2) {
		*n = 2;
		return 7; /* too small */
	}
	*n = 2;
	p[0].pid = 4242, p[0].used = 1048576000ULL;
	p[1].pid = 4243, p[1].used = ~0ULL;
	return OK;
}
ret nvmlDeviceGetTotalEnergyConsumption(dev d, unsigned long long *mj) { *mj = 987654321ULL; return OK; }
ret nvmlDeviceGetMemoryBusWidth(dev d, unsigned *v) { *v = 5120; return OK; }
ret nvmlDeviceGetMaxClockInfo(dev d, int clock, unsigned *v) { *v = 2619; return OK; }
ret nvmlDeviceGetAddressingMode(dev d, unsigned *m) {
	m[1] = 0;
	return OK;
}
ret nvmlDeviceGetNvLinkState(dev d, unsigned link, unsigned *up) {
	if (link >= 18) return INVALID;
	*up = CARDS > 1;
	return OK;
}
ret nvmlDeviceGetTopologyCommonAncestor(dev a, dev b, unsigned *level) { *level = 50; return OK; }
ret nvmlDeviceGetP2PStatus(dev a, dev b, int index, unsigned *status) { *status = 0; return OK; }
ret nvmlDeviceGetMigMode(dev d, unsigned *now, unsigned *next) {
#ifdef MIG
	*now = *next = 1;
	return OK;
#elif defined(GB10)
	return UNSUPPORTED;
#endif
	*now = *next = 0;
	return OK;
}
ret nvmlDeviceGetMaxMigDeviceCount(dev d, unsigned *n) { *n = 7; return OK; }
ret nvmlDeviceGetMigDeviceHandleByIndex(dev d, unsigned i, dev *part) {
	if (i > 1) return NOTFOUND;
	*part = 101 + i;
	return OK;
}
#endif
