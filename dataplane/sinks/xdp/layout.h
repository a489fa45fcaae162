// What the XDP program and the data plane share: the form of the maps. C, for both.
//
//   place   one aligned 32-bit word, stored with release:
//             leaf  0 | id            0: the default route, kOther: the kernel knows better
//             node  1 | kind 2 | stride 4, 1..15 | block 25, in units of 4 bytes of the pool
//   node    2^stride slots for the next `stride` bits of the address: bytes or halves, which
//           are ids, or words, which are places
//   skip    addresses that share the next `bits` bits with `path` go on at target, others
//           end with fallback
//   id      a class's local id + 1
//   group   one 64-bit word by id: what becomes of its packets
//
// Whatever changes here raises DVR_XDP_LAYOUT, which is part of the path of the pins.
#ifndef DVR_SINKS_XDP_LAYOUT_H_
#define DVR_SINKS_XDP_LAYOUT_H_

#include <linux/types.h>

#define DVR_XDP_LAYOUT 1

#define DVR_ROOT4_BITS 18
#define DVR_ROOT6_BITS 20

#define DVR_NODE (1u << 31)
#define DVR_KIND_SHIFT 29
#define DVR_STRIDE_SHIFT 25
#define DVR_BLOCK_MASK ((1u << DVR_STRIDE_SHIFT) - 1)
#define DVR_BYTES 0u
#define DVR_HALVES 1u
#define DVR_WORDS 2u
#define DVR_SKIP 3u

// Leaves that are no class.
#define DVR_DEFAULT 0u
#define DVR_OTHER 1u

// Behind the end of the pool, for loads that begin at its last byte.
#define DVR_POOL_MARGIN 64u

struct dvr_skip {
  __u32 bits;  // 1..63
  __u32 fallback;
  __u32 target;
  __u32 unused;
  __u64 path;  // from bit 63 down
};

// A group's word: action 4 | reason 8 | log2 of buckets 4 | 16 | index 32.
#define DVR_ACTION_SHIFT 60
#define DVR_REASON_SHIFT 52
#define DVR_BUCKETS_SHIFT 48
#define DVR_PASS 0u  // index: none
#define DVR_DROP 1u  // index: none
#define DVR_ONE 2u   // index: of the next hop
#define DVR_MANY 3u  // index: of the block of buckets, each a 32-bit index of a next hop

// Never changed while anything has its index. Index 0: not resolved.
struct dvr_nexthop {
  __u64 mac0;  // the first 12 bytes of the frame: 8,
  __u32 mac1;  // and 4
  __u32 port;  // in the map of ports
  __u32 mtu;
  __u32 unused[3];
};

struct dvr_settings {
  __u32 default4;  // the ids of the default routes; 0: none
  __u32 default6;
  __u32 forwards;  // DVR_FORWARDS_...
  __u32 until;     // in ticks: what is not renewed by then is passed to the kernel
};
// A tick is 2^DVR_TICK_SHIFT ns of CLOCK_MONOTONIC_COARSE, about a second.
#define DVR_TICK_SHIFT 30
#define DVR_FORWARDS_4 1u
#define DVR_FORWARDS_6 2u

// An interface whose packets are taken: its MAC address in the lower 48 bits, what
// identifies its index beside the place in the upper 16. 0: none.
#define DVR_INGRESS_BITS 12
#define DVR_MAC_MASK 0xffffffffffffULL

#define DVR_MAX_PORTS 256

struct dvr_traffic {
  __u64 packets;
  __u64 bytes;
};

// What became of a packet; the counters' indexes. Those from kReasonPassed on went to the kernel.
#define DVR_REASONS(X)                         \
  X(FORWARDED4, "forwarded_ipv4")              \
  X(FORWARDED6, "forwarded_ipv6")              \
  X(DROP_BLACKHOLE, "dropped_blackhole")       \
  X(DROP_WITHDRAWN, "dropped_withdrawn")       \
  X(PASS_INTERFACE, "passed_interface")        \
  X(PASS_MAC, "passed_other_mac")              \
  X(PASS_PROTOCOL, "passed_not_ip")            \
  X(PASS_OFF, "passed_forwarding_off")         \
  X(PASS_ABANDONED, "passed_abandoned")        \
  X(PASS_MALFORMED, "passed_malformed")        \
  X(PASS_OPTIONS, "passed_options")            \
  X(PASS_TTL, "passed_ttl")                    \
  X(PASS_SOURCE, "passed_source")              \
  X(PASS_NO_ROUTE, "passed_no_route")          \
  X(PASS_OTHER, "passed_local_or_other_route") \
  X(PASS_UNREACHABLE, "passed_unreachable")    \
  X(PASS_UNRESOLVED, "passed_unresolved")      \
  X(PASS_TOO_BIG, "passed_too_big")            \
  X(PASS_PORT, "passed_port_gone")

enum dvr_reason {
#define DVR_X(name, text) DVR_##name,
  DVR_REASONS(DVR_X)
#undef DVR_X
      DVR_REASON_COUNT
};

#endif  // DVR_SINKS_XDP_LAYOUT_H_
