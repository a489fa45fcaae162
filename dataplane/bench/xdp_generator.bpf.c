// Packets out of nothing: run with BPF_F_TEST_XDP_LIVE_FRAMES, each run writes one whole frame (the
// kernel gives the same pages again, as they came back) and sends it out of a port.
// clang-format off: the types first
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
// clang-format on

#define DESTINATIONS (1u << 20)

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(key_size, 4);
  __uint(value_size, 16);
  __uint(max_entries, DESTINATIONS);
} destinations SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_DEVMAP);
  __uint(key_size, 4);
  __uint(value_size, 4);
  __uint(max_entries, 8);
} outputs SEC(".maps");

// Frames that came to their end.
struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(key_size, 4);
  __uint(value_size, 8);
  __uint(max_entries, 1);
} arrived SEC(".maps");

// Where to, by the frame's first bytes, which user space writes: {output, family, MAC}.
struct order {
  __u8 mac[6];
  __u16 output;
  __u16 family;
};
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(key_size, 4);
  __uint(value_size, sizeof(struct order));
  __uint(max_entries, 1);
} orders SEC(".maps");

__u32 next;

SEC("xdp")
int generate(struct xdp_md *ctx) {
  void *const end = (void *)(long)ctx->data_end;
  struct ethhdr *const eth = (void *)(long)ctx->data;
  const __u32 zero = 0;
  const struct order *const order = bpf_map_lookup_elem(&orders, &zero);
  const __u32 key = next++ & (DESTINATIONS - 1);
  const __u32 *const to = bpf_map_lookup_elem(&destinations, &key);
  if (!order || !to || (void *)(eth + 1) > end) return XDP_ABORTED;
  __builtin_memcpy(eth->h_dest, order->mac, 6);
  __builtin_memset(eth->h_source, 2, 6);
  if (order->family == 4) {
    struct iphdr *const ip = (void *)(eth + 1);
    __u32 *const ports = (void *)(ip + 1);
    if ((void *)(ports + 2) > end) return XDP_ABORTED;
    eth->h_proto = bpf_htons(ETH_P_IP);
    __u32 *const words = (void *)ip;
    words[0] = bpf_htonl(0x4500002e);
    words[1] = 0;
    words[2] = bpf_htonl(0x40110000);
    words[3] = bpf_htonl(0xc6336401);  // 198.51.100.1
    words[4] = to[0];
    __u64 sum = (__u64)words[0] + words[2] + words[3] + words[4];
    sum = (sum >> 32) + (__u32)sum;
    sum = (sum >> 16) + (sum & 0xffff);
    sum = (sum >> 16) + (sum & 0xffff);
    sum = (sum >> 16) + (sum & 0xffff);
    ip->check = (__u16)~sum;
    ports[0] = bpf_htonl(0x03e80000 | (key & 0xffff));
    ports[1] = bpf_htonl(0x001a0000);
  } else {
    struct ipv6hdr *const ip = (void *)(eth + 1);
    __u32 *const ports = (void *)(ip + 1);
    if ((void *)(ports + 2) > end) return XDP_ABORTED;
    eth->h_proto = bpf_htons(ETH_P_IPV6);
    __u32 *const words = (void *)ip;
    words[0] = bpf_htonl(0x60000000);
    words[1] = bpf_htonl(0x000a1140);
    words[2] = bpf_htonl(0x20010db8);
    words[3] = bpf_htonl(0x000a0000);
    words[4] = 0;
    words[5] = bpf_htonl(1);
    for (int i = 0; i < 4; ++i) words[6 + i] = to[i];
    ports[0] = bpf_htonl(0x03e80000 | (key & 0xffff));
    ports[1] = bpf_htonl(0x000a0000);
  }
  return bpf_redirect_map(&outputs, order->output, 0);
}

SEC("xdp")
int consume(struct xdp_md *ctx) {
  (void)ctx;
  const __u32 zero = 0;
  __u64 *const n = bpf_map_lookup_elem(&arrived, &zero);
  if (n) ++*n;
  return XDP_DROP;
}

char licence[] SEC("license") = "Dual MIT/GPL";
