/* Longest-prefix match as a library, libdvrlpm.so: the engine of DVR's data plane by itself.
 *
 * set, del, new, free of a table: one thread at a time. one, bulk, bytes: any threads beside
 * it, without waiting; a thread that looks up registers itself on its first call. Ids are
 * 1...65534 at least (8388607 in fact), 0 means no route. IPv4 addresses are in host order,
 * IPv6 addresses 16 bytes in network order. bulk is fastest for 128 addresses and more. */
#ifndef DVR_LPM_H_
#define DVR_LPM_H_

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

const char* lpm_name(void);

/* NULL: no memory. */
void* lpm4_new(void);
void* lpm6_new(void);
void lpm4_free(void* table);
void lpm6_free(void* table);

/* Adds a prefix, or gives it another id. 0, or -1: the id or the length is out of range or bits
 * behind the length are set, or no memory; nothing has changed. */
int lpm4_set(void* table, uint32_t address, int length, uint32_t id);
int lpm6_set(void* table, const uint8_t address[16], int length, uint32_t id);

/* 0, or -1: the prefix is not there, or no memory; nothing has changed. */
int lpm4_del(void* table, uint32_t address, int length);
int lpm6_del(void* table, const uint8_t address[16], int length);

uint32_t lpm4_one(const void* table, uint32_t address);
uint32_t lpm6_one(const void* table, const uint8_t address[16]);
void lpm4_bulk(const void* table, const uint32_t* addresses, uint32_t* ids, size_t n);
void lpm6_bulk(const void* table, const uint8_t (*addresses)[16], uint32_t* ids, size_t n);

/* Bytes that lookups can touch. */
size_t lpm4_bytes(const void* table);
size_t lpm6_bytes(const void* table);

#ifdef __cplusplus
}
#endif

#endif
