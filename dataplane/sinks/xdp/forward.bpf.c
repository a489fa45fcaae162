// The fast path: plain unicast packets over resolved neighbours. Everything else is passed to
// the kernel untouched; nothing is written before it is certain that the packet goes.
// clang-format off: the types first
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
// clang-format on

#include "layout.h"

#define TABLE(name, type, size, entries) \
  struct {                               \
    __uint(type, BPF_MAP_TYPE_ARRAY);    \
    __uint(map_flags, BPF_F_MMAPABLE);   \
    __uint(key_size, 4);                 \
    __uint(value_size, size);            \
    __uint(max_entries, entries);        \
  } name SEC(".maps")

// Sizes of pool, groups, nexthops and traffic are set before loading.
TABLE(settings, type, sizeof(struct dvr_settings), 1);
TABLE(root4, type, 4u << DVR_ROOT4_BITS, 1);
TABLE(root6, type, 4u << DVR_ROOT6_BITS, 1);
TABLE(pool, type, 4096 + DVR_POOL_MARGIN, 1);
TABLE(groups, type, 8, 2);
TABLE(nexthops, type, sizeof(struct dvr_nexthop), 2);
TABLE(ingress, type, 8, 1u << DVR_INGRESS_BITS);
// The digest of the table in it, for the next data plane: 16 bytes, then what is free.
TABLE(state, type, 64, 1);

struct {
  __uint(type, BPF_MAP_TYPE_DEVMAP);
  __uint(key_size, 4);
  __uint(value_size, 4);
  __uint(max_entries, DVR_MAX_PORTS);
} ports SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(key_size, 4);
  __uint(value_size, 8);
  __uint(max_entries, DVR_REASON_COUNT);
} reasons SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(key_size, 4);
  __uint(value_size, sizeof(struct dvr_traffic));
  __uint(max_entries, 2);
} traffic SEC(".maps");

// A power of two less 1: the verifier knows it when the program is loaded.
const volatile __u32 pool_mask = 4095;

static __always_inline int count(enum dvr_reason reason, int verdict) {
  const __u32 key = reason;
  __u64 *const n = bpf_map_lookup_elem(&reasons, &key);
  if (n) ++*n;
  return verdict;
}
#define PASS(reason) return count(DVR_PASS_##reason, XDP_PASS)

// Keeps a masked offset from being computed anew from what the verifier does not know.
#define FIXED(x) asm volatile("" : "+r"(x))

// The leaf of an address of which `high` has the bits from `w`'s place on, `low` those behind.
static __always_inline __u32 descend(__u8 *nodes, __u32 w, __u64 high, __u64 low, int levels) {
#pragma clang loop unroll(disable)
  for (int i = 0; i < levels; ++i) {
    if (!(w & DVR_NODE)) return w;
    const __u32 kind = w >> DVR_KIND_SHIFT & 3;
    __u64 at = (__u64)(w & DVR_BLOCK_MASK) * 4;
    __u32 bits;
    if (kind == DVR_SKIP) {
      at &= pool_mask;
      FIXED(at);
      const struct dvr_skip *const skip = (const void *)(nodes + at);
      bits = skip->bits & 63;
      if ((high ^ skip->path) >> ((64 - bits) & 63)) return skip->fallback;
      w = *(const volatile __u32 *)&skip->target;
    } else {
      bits = w >> DVR_STRIDE_SHIFT & 15;
      at += (high >> ((64 - bits) & 63)) << kind;
      at &= pool_mask;
      FIXED(at);
      // A slot without a branch on its width: what is behind it is cut off.
      w = *(const volatile __u32 *)(nodes + at) & (~0u >> ((32 - (8u << kind)) & 31));
    }
    high = high << bits | low >> ((64 - bits) & 63);
    low <<= bits;
  }
  return DVR_OTHER;
}

static __always_inline __u64 mixed(__u64 h) {
  h *= 0x9e3779b97f4a7c15ULL;
  h ^= h >> 32;
  h *= 0xd6e8feb86659fd93ULL;
  return h ^ (h >> 32);
}

// The next hop of a group; null: *verdict it is. flow is what the flow's hash is made of.
static __always_inline const struct dvr_nexthop *choose(__u32 id, __u8 *nodes, __u64 flow,
                                                        int *verdict) {
  *verdict = XDP_PASS;
  const __u64 *const group = bpf_map_lookup_elem(&groups, &id);
  if (!group) return 0;
  const __u64 word = *(const volatile __u64 *)group;
  __u32 index = (__u32)word;
  const __u32 action = word >> DVR_ACTION_SHIFT;
  if (action != DVR_ONE) {
    if (action != DVR_MANY) {
      const __u32 reason = word >> DVR_REASON_SHIFT & 0xff;
      *verdict = count(reason, action == DVR_DROP ? XDP_DROP : XDP_PASS);
      return 0;
    }
    const __u32 bits = word >> DVR_BUCKETS_SHIFT & 15;
    __u64 at = (__u64)index * 4 + (mixed(flow) >> ((64 - bits) & 63)) * 4;
    at &= pool_mask;
    FIXED(at);
    index = *(const volatile __u32 *)(nodes + at);
  }
  const struct dvr_nexthop *const hop = bpf_map_lookup_elem(&nexthops, &index);
  if (!hop || index == 0) {
    count(DVR_PASS_UNRESOLVED, XDP_PASS);
    return 0;
  }
  return hop;
}

// Sends the frame: nothing was written to it before. False: the port is gone.
static __always_inline int leave(struct ethhdr *eth, const struct dvr_nexthop *hop, __u32 id,
                                 __u32 bytes) {
  if (bpf_redirect_map(&ports, hop->port, XDP_PASS) != XDP_REDIRECT) return 0;
  *(__u64 *)eth = hop->mac0;
  *(__u32 *)((__u8 *)eth + 8) = hop->mac1;
  struct dvr_traffic *const t = bpf_map_lookup_elem(&traffic, &id);
  if (t) {
    ++t->packets;
    t->bytes += bytes;
  }
  return 1;
}

static __always_inline int has_ports(__u8 protocol) {
  return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP || protocol == IPPROTO_SCTP ||
         protocol == IPPROTO_DCCP || protocol == IPPROTO_UDPLITE;
}

static __always_inline int forward4(struct ethhdr *eth, void *end, __u8 *nodes,
                                    const struct dvr_settings *set) {
  struct iphdr *const ip = (void *)(eth + 1);
  if ((void *)(ip + 1) > end) PASS(MALFORMED);
  if (*(__u8 *)ip != 0x45) PASS(OPTIONS);
  const __u32 length = bpf_ntohs(ip->tot_len);
  if (length < sizeof *ip || (void *)ip + length > end) PASS(MALFORMED);
  const __u32 *const words = (const void *)ip;
  __u64 sum = (__u64)words[0] + words[1] + words[2] + words[3] + words[4];
  sum = (sum >> 32) + (__u32)sum;
  sum = (sum >> 16) + (sum & 0xffff);
  sum = (sum >> 16) + (sum & 0xffff);
  sum = (sum >> 16) + (sum & 0xffff);
  if (sum != 0xffff) PASS(MALFORMED);
  if (ip->ttl <= 1) PASS(TTL);
  const __u32 source = bpf_ntohl(ip->saddr);
  if ((source >> 24) - 1 >= 223 || source >> 24 == 127) PASS(SOURCE);

  const __u32 key = 0;
  __u32 *const root = bpf_map_lookup_elem(&root4, &key);
  if (!root) PASS(NO_ROUTE);
  const __u32 address = bpf_ntohl(ip->daddr);
  const __u32 w = ((const volatile __u32 *)root)[address >> (32 - DVR_ROOT4_BITS)];
  __u32 id = descend(nodes, w, (__u64)address << (32 + DVR_ROOT4_BITS), 0, 32 - DVR_ROOT4_BITS);
  if (id <= DVR_OTHER) {
    if (id == DVR_OTHER) PASS(OTHER);
    id = *(const volatile __u32 *)&set->default4;
    if (id == 0) PASS(NO_ROUTE);
    if (id == DVR_OTHER) PASS(OTHER);
  }

  // The flow: any fragment by addresses and protocol, so that all of a packet go one way.
  __u64 flow = ((__u64)ip->saddr << 32 | ip->daddr) ^ (__u64)ip->protocol << 56;
  if (!(ip->frag_off & bpf_htons(0x3fff)) && has_ports(ip->protocol)) {
    const __u32 *const both = (const void *)(ip + 1);
    if ((void *)(both + 1) <= end) flow = mixed(flow) ^ *both;
  }
  int verdict;
  const struct dvr_nexthop *const hop = choose(id, nodes, flow, &verdict);
  if (!hop) return verdict;
  if (length > hop->mtu) PASS(TOO_BIG);
  if (!leave(eth, hop, id, length)) PASS(PORT);
  // RFC 1624: one less in the upper byte of its word.
  const __u32 check = (__u32)ip->check + bpf_htons(0x0100);
  ip->check = (__u16)(check + (check >= 0xffff));
  --ip->ttl;
  return count(DVR_FORWARDED4, XDP_REDIRECT);
}

static __always_inline __u64 load64(const void *at) {
  const __u32 *const words = at;
  return (__u64)bpf_ntohl(words[0]) << 32 | bpf_ntohl(words[1]);
}

static __always_inline int forward6(struct ethhdr *eth, void *end, __u8 *nodes,
                                    const struct dvr_settings *set) {
  struct ipv6hdr *const ip = (void *)(eth + 1);
  if ((void *)(ip + 1) > end) PASS(MALFORMED);
  if (*(__u8 *)ip >> 4 != 6) PASS(MALFORMED);
  const __u32 length = (__u32)bpf_ntohs(ip->payload_len) + sizeof *ip;
  if ((void *)ip + length > end) PASS(MALFORMED);
  __u8 protocol = ip->nexthdr;
  if (protocol == IPPROTO_HOPOPTS) PASS(OPTIONS);
  if (ip->hop_limit <= 1) PASS(TTL);
  const __u64 source = load64(&ip->saddr), source_low = load64((const __u8 *)&ip->saddr + 8);
  // ::/64, which has the loopback and unspecified addresses; multicast; link-local.
  if (source == 0 || source >> 56 == 0xff || source >> 54 == 0x3fa) PASS(SOURCE);

  const __u32 key = 0;
  __u32 *const root = bpf_map_lookup_elem(&root6, &key);
  if (!root) PASS(NO_ROUTE);
  const __u64 high = load64(&ip->daddr), low = load64((const __u8 *)&ip->daddr + 8);
  const __u32 w = ((const volatile __u32 *)root)[high >> (64 - DVR_ROOT6_BITS)];
  __u32 id = descend(nodes, w, high << DVR_ROOT6_BITS | low >> (64 - DVR_ROOT6_BITS),
                     low << DVR_ROOT6_BITS, 128 - DVR_ROOT6_BITS);
  if (id <= DVR_OTHER) {
    if (id == DVR_OTHER) PASS(OTHER);
    id = *(const volatile __u32 *)&set->default6;
    if (id == 0) PASS(NO_ROUTE);
    if (id == DVR_OTHER) PASS(OTHER);
  }

  const __u8 *const rest = (const void *)(ip + 1);
  __u64 flow = mixed(source ^ mixed(source_low)) ^ mixed(high ^ mixed(low));
  if (protocol == IPPROTO_FRAGMENT) {
    if (rest + 8 <= (const __u8 *)end) protocol = rest[0];
    flow ^= (__u64)protocol << 56;
  } else {
    flow ^= (__u64)protocol << 56;
    if (has_ports(protocol) && rest + 4 <= (const __u8 *)end) {
      flow = mixed(flow) ^ *(const __u32 *)rest;
    }
  }
  int verdict;
  const struct dvr_nexthop *const hop = choose(id, nodes, flow, &verdict);
  if (!hop) return verdict;
  if (length > hop->mtu) PASS(TOO_BIG);
  if (!leave(eth, hop, id, length)) PASS(PORT);
  --ip->hop_limit;
  return count(DVR_FORWARDED6, XDP_REDIRECT);
}

SEC("xdp")
int dvr_forward(struct xdp_md *ctx) {
  void *const end = (void *)(long)ctx->data_end;
  struct ethhdr *const eth = (void *)(long)ctx->data;
  if ((void *)(eth + 1) > end) PASS(MALFORMED);
  const __u16 protocol = eth->h_proto;
  if (protocol != bpf_htons(ETH_P_IP) && protocol != bpf_htons(ETH_P_IPV6)) PASS(PROTOCOL);

  const __u32 interface = ctx->ingress_ifindex;
  const __u32 place = interface & ((1u << DVR_INGRESS_BITS) - 1);
  const __u64 *const own = bpf_map_lookup_elem(&ingress, &place);
  if (!own || *own == 0) PASS(INTERFACE);
  const __u64 expected = (*own & DVR_MAC_MASK) | (__u64)(interface >> DVR_INGRESS_BITS) << 48;
  if (expected != *own) PASS(INTERFACE);
  if ((*(const __u64 *)eth ^ expected) & DVR_MAC_MASK) PASS(MAC);

  const __u32 key = 0;
  const struct dvr_settings *const set = bpf_map_lookup_elem(&settings, &key);
  __u8 *const nodes = bpf_map_lookup_elem(&pool, &key);
  if (!set || !nodes) PASS(NO_ROUTE);
  // Nobody has followed links and neighbours for a while.
  const __u32 now = bpf_ktime_get_coarse_ns() >> DVR_TICK_SHIFT;
  if ((__s32)(*(const volatile __u32 *)&set->until - now) < 0) PASS(ABANDONED);
  const __u32 forwards = *(const volatile __u32 *)&set->forwards;
  if (protocol == bpf_htons(ETH_P_IP)) {
    if (!(forwards & DVR_FORWARDS_4)) PASS(OFF);
    return forward4(eth, end, nodes, set);
  }
  if (!(forwards & DVR_FORWARDS_6)) PASS(OFF);
  return forward6(eth, end, nodes, set);
}

char licence[] SEC("license") = "Dual MIT/GPL";
