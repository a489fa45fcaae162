// Forwarding in XDP against the kernel's, on the Internet's tables and random destinations, in one
// run on one processor: in a network namespace of its own, a generator in the kernel, the router
// and a program that counts and drops what arrives share it. Needs root and /sys/fs/bpf or a place
// for one.
//
//   p0 ── w0  XDP ┐
//   p2 ── w2      ├ router ─ w1 ── p1  counts and drops
//   p3 ── w3  drops at once: what the generator costs
//
// The wires are veth pairs, no hardware: what a card and its driver cost is in no row. Both tables
// (DVR_PREFIXES4, DVR_PREFIXES6; else synthetic ones alike) are in the kernel and in XDP, 64
// classes of one next hop each. Prints one line a figure: name, value, unit, and what it must be;
// the status is 1 where one is missed.
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <linux/ethtool.h>
#include <linux/if_link.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>

#include <cstring>

#include "sinks/xdp/bpf_options.h"
#include "sinks/xdp/xdp_sink.h"
#include "test/kernel/scene.h"
#include "test/tables.h"

__asm__(
    ".section .rodata\n"
    ".balign 16\n"
    "dvr_generator:\n"
    ".incbin \"" DVR_GENERATOR
    "\"\n"
    "dvr_generator_end:\n"
    ".byte 0\n"
    ".text\n");
extern "C" {
extern const unsigned char dvr_generator[];
extern const unsigned char dvr_generator_end[];
}

namespace {

using namespace dvr;
using namespace dvr::kernel::test;
using Clock = std::chrono::steady_clock;

constexpr std::uint32_t kClasses = 64;
constexpr std::uint32_t kDestinations = 1u << 20;
constexpr std::uint32_t kBatch = 100'000;  // packets a slice
constexpr int kRounds = 15;

const std::string kInputs[] = {"w0", "w2", "w3"};

bool missed = false;

void print(const std::string& name, double value, const char* unit, double at_least = 0,
           double at_most = 0) {
  std::printf("%-44s %9.2f %-8s", name.c_str(), value, unit);
  const double limit = at_least > 0 ? at_least : at_most;
  if (limit > 0) {
    const bool good = at_least > 0 ? value >= limit : value <= limit;
    missed |= !good;
    std::printf(" %s %.2f%s", at_least > 0 ? "at least" : "at most", limit, good ? "" : "  MISSED");
  }
  std::printf("\n");
  std::fflush(stdout);
}

[[noreturn]] void fail(const std::string& what) {
  std::fprintf(stderr, "xdp_bench: %s\n", what.c_str());
  std::exit(2);
}

// Of this process, seconds.
double processor_time() {
  timespec t{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

double median(std::vector<double> v) {
  std::sort(v.begin(), v.end());
  return v[v.size() / 2];
}

void set_gro(const std::string& name) {
  ifreq request{};
  name.copy(request.ifr_name, IFNAMSIZ - 1);
  ethtool_value value{ETHTOOL_SGRO, 1};
  request.ifr_data = reinterpret_cast<char*>(&value);
  const int fd = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (::ioctl(fd, SIOCETHTOOL, &request) != 0) fail("GRO cannot be set");
  ::close(fd);
}

std::array<std::uint8_t, 6> mac_of(const std::string& name) {
  ifreq request{};
  name.copy(request.ifr_name, IFNAMSIZ - 1);
  const int fd = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  ::ioctl(fd, SIOCGIFHWADDR, &request);
  ::close(fd);
  std::array<std::uint8_t, 6> mac;
  std::memcpy(mac.data(), request.ifr_hwaddr.sa_data, 6);
  return mac;
}

// The generator, and the programs at the ends.
class Traffic {
 public:
  Traffic() {
    auto options = xdp::bpf_options<bpf_object_open_opts>();
    options.object_name = "dvr_bench";
    object_ = bpf_object__open_mem(
        dvr_generator, static_cast<std::size_t>(dvr_generator_end - dvr_generator), &options);
    if (object_ == nullptr || bpf_object__load(object_) != 0) fail("the generator: no BPF here");
    const std::size_t bytes = std::size_t{kDestinations} * 16;
    void* const at =
        ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, map("destinations"), 0);
    if (at == MAP_FAILED) fail("the generator's memory");
    destinations_ = static_cast<std::uint8_t*>(at);
    std::uint32_t key = 0;
    for (const char* name : {"p0", "p2", "p3"}) {
      const std::uint32_t index = ::if_nametoindex(name);
      bpf_map_update_elem(map("outputs"), &key, &index, BPF_ANY);
      ++key;
    }
    for (const char* name : {"p1", "w3"}) {
      if (bpf_xdp_attach(static_cast<int>(::if_nametoindex(name)), program("consume"),
                         XDP_FLAGS_DRV_MODE, nullptr) != 0) {
        fail("no native XDP at veth");
      }
    }
  }

  void set_destination(std::uint32_t i, const Address& a) {
    std::uint8_t* const to = destinations_ + std::size_t{i} * 16;
    if (a.family == 4) {
      const std::uint32_t v = htonl(a.as_v4());
      std::memcpy(to, &v, 4);
    } else {
      store_u128(a.bits, to);
    }
  }

  // Nanoseconds a packet that arrives; in *loss the part that does not.
  double slice(std::uint16_t output, int family, double* loss) {
    struct {
      std::uint8_t mac[6];
      std::uint16_t output, family;
    } order{};
    const auto mac = mac_of(kInputs[output]);
    std::memcpy(order.mac, mac.data(), 6);
    order.output = output;
    order.family = static_cast<std::uint16_t>(family);
    const std::uint32_t zero = 0;
    bpf_map_update_elem(map("orders"), &zero, &order, BPF_ANY);
    std::uint8_t frame[64] = {};
    xdp_md context{};
    context.data_end = sizeof frame;
    auto options = xdp::bpf_options<bpf_test_run_opts>();
    options.data_in = frame;
    options.data_size_in = sizeof frame;
    options.ctx_in = &context;
    options.ctx_size_in = sizeof context;
    options.repeat = static_cast<int>(kBatch);
    options.flags = BPF_F_TEST_XDP_LIVE_FRAMES;
    options.batch_size = 64;
    const std::uint64_t before = arrived();
    const auto start = Clock::now();
    if (bpf_prog_test_run_opts(program("generate"), &options) != 0) fail("the generator");
    const double ns = std::chrono::duration<double, std::nano>(Clock::now() - start).count();
    const auto n = static_cast<double>(arrived() - before);
    *loss = 1 - n / kBatch;
    return n > 0 ? ns / n : 1e9;
  }

 private:
  [[nodiscard]] int map(const char* name) const {
    return bpf_object__find_map_fd_by_name(object_, name);
  }
  [[nodiscard]] int program(const char* name) const {
    return bpf_program__fd(bpf_object__find_program_by_name(object_, name));
  }
  [[nodiscard]] std::uint64_t arrived() const {
    std::vector<std::uint64_t> values(static_cast<std::size_t>(libbpf_num_possible_cpus()));
    const std::uint32_t zero = 0;
    bpf_map_lookup_elem(map("arrived"), &zero, values.data());
    std::uint64_t sum = 0;
    for (const std::uint64_t v : values) sum += v;
    return sum;
  }

  bpf_object* object_ = nullptr;
  std::uint8_t* destinations_ = nullptr;
};

class Reporter final : public XdpObserver {
 public:
  void attached(const std::string&, bool native) override { generic_ |= !native; }
  void trouble(const std::string& what) override { std::printf("# %s\n", what.c_str()); }
  [[nodiscard]] bool generic() const { return generic_; }

 private:
  bool generic_ = false;
};

std::string hop_text(bool six, std::uint32_t i) {
  return six ? "fd00:1::" + std::to_string(i + 2) : "10.0.1." + std::to_string(i + 2);
}

// The class of a prefix: next hops follow the origin, here blocks of neighbouring prefixes.
std::uint32_t class_index(std::size_t i) {
  return static_cast<std::uint32_t>((i / 7) * 2654435761u >> 7) % kClasses;
}

template <class P>
void fill(Fib& fib, const std::vector<P>& prefixes, std::uint32_t first_class) {
  constexpr std::size_t kChunk = 14000;
  std::vector<typename P::Address> addresses;
  std::vector<std::uint32_t> classes;
  std::vector<std::uint8_t> lengths;
  for (std::size_t i = 0; i < prefixes.size(); ++i) {
    addresses.push_back(prefixes[i].address);
    lengths.push_back(prefixes[i].length);
    classes.push_back(first_class + class_index(i));
    if (addresses.size() < kChunk && i + 1 < prefixes.size()) continue;
    Status s;
    if constexpr (P::kWidth == 32) {
      s = fib.set4(addresses, lengths, classes);
    } else {
      s = fib.set6(addresses, lengths, classes);
    }
    if (!s.ok()) fail(s.message());
    addresses.clear();
    lengths.clear();
    classes.clear();
  }
}

template <class P>
void aim(Traffic& traffic, const std::vector<P>& prefixes) {
  dvr::test::Random r(1);
  for (std::uint32_t i = 0; i < kDestinations; ++i) {
    const P& p = prefixes[dvr::test::below(r, prefixes.size())];
    const auto noise =
        static_cast<typename P::Address>(dvr::test::random_address<typename P::Address>(r) &
                                         ~mask_of<typename P::Address>(p.length));
    traffic.set_destination(
        i, Prefix::of(P{static_cast<typename P::Address>(p.address | noise), P::kWidth}).address);
  }
}

void measure(Traffic& traffic, int family, double must) {
  enum { kXdp, kKernel, kDrop };
  std::vector<double> ns[3], ratio, own;
  double lost[3] = {};
  for (int round = -2; round < kRounds; ++round) {
    double now[3], loss;
    for (const int row : {kDrop, kKernel, kXdp}) {
      now[row] = traffic.slice(static_cast<std::uint16_t>(row), family, &loss);
      if (round < 0) continue;  // caches and ARP
      ns[row].push_back(now[row]);
      lost[row] = std::max(lost[row], loss);
    }
    if (round < 0) continue;
    ratio.push_back(now[kKernel] / now[kXdp]);
    if (now[kXdp] > now[kDrop])
      own.push_back((now[kKernel] - now[kDrop]) / (now[kXdp] - now[kDrop]));
  }
  const std::string ip = "IPv" + std::to_string(family) + ", ";
  const char* const names[] = {"XDP", "the kernel", "dropped at once"};
  for (const int row : {kDrop, kKernel, kXdp}) {
    print(ip + names[row], 1000 / median(ns[row]), "Mpps");
    if (lost[row] > 0.001) print(ip + names[row] + ", most lost", 100 * lost[row], "%");
  }
  print(ip + "XDP against the kernel", median(ratio), "x", must);
  print(ip + "the forwarder alone: XDP", median(ns[kXdp]) - median(ns[kDrop]), "ns");
  print(ip + "the forwarder alone: the kernel", median(ns[kKernel]) - median(ns[kDrop]), "ns");
  if (!own.empty()) print(ip + "the forwarder alone, against", median(own), "x");
}

int run_all(const std::string& pins) {
  if (const std::string why = enter_namespace(); !why.empty()) {
    std::printf("# skipped: %s\n", why.c_str());
    return 0;
  }
  for (const char* n : {"2", "3"}) {
    const std::string i = n;
    must("ip link add w" + i + " type veth peer name p" + i);
    must("ip link set p" + i + " up");
    must("ip link set w" + i + " up");
  }
  must(
      "sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 "
      "net.ipv4.conf.all.rp_filter=0");
  must("sysctl -qw net.ipv4.conf.w2.rp_filter=0 net.ipv4.conf.w0.rp_filter=0");
  // The sources are on nobody's link: they need a route for nothing else.
  for (std::uint32_t i = 0; i < kClasses; ++i) {
    must("ip neigh replace " + hop_text(false, i) +
         " lladdr 02:00:00:00:02:07 dev w1 nud permanent");
    must("ip -6 neigh replace " + hop_text(true, i) +
         " lladdr 02:00:00:00:02:07 dev w1 nud permanent");
  }
  for (const char* name : {"w0", "w1", "w2", "w3", "p0", "p1", "p2", "p3"}) set_gro(name);
  Traffic traffic;

  const std::vector<Prefix4> four = dvr::test::internet4();
  const std::vector<Prefix6> six = dvr::test::internet6();
  Fib fib;
  Reporter reporter;
  XdpOptions options;
  options.interfaces = {"w0", "w1"};
  options.bpffs = pins;
  options.tick = std::chrono::milliseconds(50);
  std::unique_ptr<XdpSink> xdp;
  if (const Status s = XdpSink::open(options, fib, reporter, &xdp); !s.ok()) fail(s.message());
  if (!eventually([&] { return xdp->serving(); })) fail("XDP does not come");
  fib.add_listener(xdp.get());

  const auto start = Clock::now();
  const double used = processor_time();
  Controller controller(fib);
  controller.begin(DeltaKind::kFull);
  for (std::uint32_t i = 0; i < kClasses; ++i) {
    controller.group(1 + i, {hop_text(false, i) + "%w1"});
    controller.group(1 + kClasses + i, {hop_text(true, i) + "%w1"});
  }
  fill(fib, four, 1);
  fill(fib, six, 1 + kClasses);
  controller.end();
  print("full table into the FIB and XDP",
        std::chrono::duration<double>(Clock::now() - start).count(), "s", 0, 2);
  print("the same, processor time", processor_time() - used, "s");
  std::printf("# %zu IPv4 and %zu IPv6 prefixes, %s mode\n", four.size(), six.size(),
              reporter.generic() ? "generic" : "native");
  for (const auto& [name, value] : xdp->counters()) {
    if (name == "xdp_table_bytes") print("table", static_cast<double>(value) / 1048576, "MiB");
  }

  Observed observed;
  std::unique_ptr<KernelSink> kernel;
  (void)KernelTuning::set_fast_groups();
  if (const Status s = KernelSink::open({}, fib, observed, &kernel); !s.ok()) fail(s.message());
  fib.add_listener(kernel.get());
  const bool ready = eventually(
      [&] {
        const SinkReport r = kernel->report();
        return r.failed == 0 && r.entries == fib.installed_entries();
      },
      std::chrono::seconds(120));
  if (!ready) fail("the kernel does not take the table");

  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(static_cast<int>(::sysconf(_SC_NPROCESSORS_ONLN)) - 1, &one);
  ::sched_setaffinity(0, sizeof one, &one);
  aim(traffic, four);
  measure(traffic, 4, 3);
  aim(traffic, six);
  measure(traffic, 6, 2.5);
  for (const auto& [name, value] : xdp->counters()) {
    if (name.starts_with("xdp_passed") && value > 1000) {
      std::printf("# %s: %llu\n", name.c_str(), static_cast<unsigned long long>(value));
    }
  }
  fib.remove_listener(kernel.get());
  fib.remove_listener(xdp.get());
  kernel.reset();
  xdp.reset();
  XdpSink::detach(pins, 254);
  return missed ? 1 : 0;
}

}  // namespace

int main() {
  char name[] = "/tmp/dvr-xdp-bench-XXXXXX";
  const std::string pins = ::mkdtemp(name);
  const int status = run_all(pins);
  ::umount2(pins.c_str(), MNT_DETACH);
  ::rmdir(pins.c_str());
  return status;
}
