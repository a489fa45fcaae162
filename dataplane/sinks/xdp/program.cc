#include "sinks/xdp/program.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <utility>

#include "sinks/xdp/bpf_options.h"
#include "sinks/xdp/object.h"

namespace dvr::xdp {
namespace {

constexpr std::uint64_t kSealed = 0x6476722078647031;

// A map of state.
struct State {
  std::uint64_t high, low;
  std::uint64_t seal;  // of both, so that half a digest is none
};

std::uint64_t seal_of(const State& s) { return (s.high ^ (s.low << 1)) + kSealed; }

std::string words(int error) { return std::strerror(error < 0 ? -error : error); }

std::size_t page_up(std::size_t bytes) {
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  return (bytes + page - 1) & ~(page - 1);
}

Status map_memory(int fd, std::size_t bytes, Mapping* out) {
  void* const data = ::mmap(nullptr, page_up(bytes), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (data == MAP_FAILED) return {Code::kIo, "mapping a BPF map: " + words(errno)};
  *out = Mapping(data, page_up(bytes));
  return {};
}

// The last thing that libbpf complained about, for the error of the call.
thread_local std::string complaint;

int note(enum libbpf_print_level level, const char* format, va_list arguments) {
  if (level != LIBBPF_WARN) return 0;
  char line[512];
  std::vsnprintf(line, sizeof line, format, arguments);
  if (complaint.size() >= 2000) return 0;
  complaint += line;
  std::replace(complaint.begin(), complaint.end(), '\n', ' ');
  return 0;
}

}  // namespace

Descriptor::~Descriptor() {
  if (fd_ >= 0) ::close(fd_);
}
Descriptor::Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
Descriptor& Descriptor::operator=(Descriptor&& other) noexcept {
  if (fd_ >= 0) ::close(fd_);
  fd_ = std::exchange(other.fd_, -1);
  return *this;
}

Mapping::~Mapping() {
  if (data_ != nullptr) ::munmap(data_, bytes_);
}
Mapping::Mapping(Mapping&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), bytes_(other.bytes_) {}
Mapping& Mapping::operator=(Mapping&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

Program::~Program() = default;

int Program::map(const char* name) const {
  return bpf_object__find_map_fd_by_name(object_.get(), name);
}

Status Program::load(const Sizes& sizes, std::unique_ptr<Program>* out) {
  std::unique_ptr<Program> program(new Program());
  if (Status s = program->open(sizes); !s.ok()) return s;
  *out = std::move(program);
  return {};
}

// libbpf would say it less clearly.
Status Program::possible() {
  const Descriptor map(bpf_map_create(BPF_MAP_TYPE_ARRAY, "dvr_try", 4, 4, 1, nullptr));
  if (map) return {};
  const int error = errno;
  const std::string first = "BPF cannot be used: " + words(error);
  if (error == ENOSYS) return {Code::kIo, first + "; this kernel has none (CONFIG_BPF_SYSCALL)"};
  if (error == EPERM || error == EACCES) {
    return {Code::kIo, first +
                           "; it takes root, or CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN, and in a "
                           "container a seccomp profile that allows bpf(2)"};
  }
  return {Code::kIo, first};
}

Status Program::open(const Sizes& sizes) {
  if (Status s = possible(); !s.ok()) return s;
  libbpf_set_print(note);
  complaint.clear();
  sizes_ = sizes;
  auto options = bpf_options<bpf_object_open_opts>();
  options.object_name = "dvr_xdp";
  object_ = {bpf_object__open_mem(object().data(), object().size(), &options), bpf_object__close};
  if (object_ == nullptr) return {Code::kIo, "the XDP program cannot be read: " + complaint};
  const auto resize = [&](const char* name, std::uint32_t value, std::uint32_t entries) {
    bpf_map* const m = bpf_object__find_map_by_name(object_.get(), name);
    if (value != 0) bpf_map__set_value_size(m, value);
    if (entries != 0) bpf_map__set_max_entries(m, entries);
  };
  const auto pool_bytes = static_cast<std::uint32_t>(sizes.pool + DVR_POOL_MARGIN);
  resize("pool", pool_bytes, 0);
  resize("groups", 0, sizes.groups);
  resize("traffic", 0, sizes.groups);
  resize("nexthops", 0, sizes.nexthops);
  bpf_map* map_at = nullptr;
  bpf_object__for_each_map(map_at, object_.get()) {
    if (std::strstr(bpf_map__name(map_at), ".rodata") == nullptr) continue;
    // Its one constant is the mask of the pool.
    const auto mask = static_cast<std::uint32_t>(sizes.pool - 1);
    if (const int e = bpf_map__set_initial_value(map_at, &mask, sizeof mask); e != 0) {
      return {Code::kIo, "the XDP program's constants: " + words(e)};
    }
  }
  if (const int e = bpf_object__load(object_.get()); e != 0) {
    const bool denied = e == -EPERM || e == -EACCES;
    return {Code::kIo, "the kernel refuses the XDP program: " + words(e) + "; " +
                           (denied ? "are CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN all there?"
                                   : "it takes Linux 6.1 or newer") +
                           (complaint.empty() ? "" : " (" + complaint + ")")};
  }
  program_ = bpf_program__fd(bpf_object__find_program_by_name(object_.get(), "dvr_forward"));
  reasons_ = map("reasons");
  traffic_ = map("traffic");
  ports_ = map("ports");
  struct Part {
    const char* name;
    std::size_t bytes;
    Mapping* to;
  };
  const Part parts[] = {
      {"settings", sizeof(dvr_settings), &settings_},
      {"root4", std::size_t{4} << DVR_ROOT4_BITS, &root4_},
      {"root6", std::size_t{4} << DVR_ROOT6_BITS, &root6_},
      {"pool", pool_bytes, &pool_},
      {"groups", std::size_t{sizes.groups} * 8, &groups_},
      {"nexthops", std::size_t{sizes.nexthops} * sizeof(dvr_nexthop), &nexthops_},
      {"ingress", std::size_t{8} << DVR_INGRESS_BITS, &ingress_},
      {"state", 64, &state_},
  };
  for (const Part& p : parts) {
    if (Status s = map_memory(map(p.name), p.bytes, p.to); !s.ok()) return s;
  }
  grace_inner_ = Descriptor(bpf_map_create(BPF_MAP_TYPE_ARRAY, "dvr_grace", 4, 4, 1, nullptr));
  auto outer = bpf_options<bpf_map_create_opts>();
  outer.inner_map_fd = static_cast<std::uint32_t>(grace_inner_.get());
  grace_map_ =
      Descriptor(bpf_map_create(BPF_MAP_TYPE_ARRAY_OF_MAPS, "dvr_graces", 4, 4, 1, &outer));
  if (!grace_map_) return {Code::kIo, "a BPF map of maps: " + words(errno)};
  return {};
}

void Program::grace() const {
  // The kernel returns from this when no program can still be using the map that was in there
  // before: its synchronize_rcu holds for whatever programs read.
  const std::uint32_t key = 0;
  const int inner = grace_inner_.get();
  bpf_map_update_elem(grace_map_.get(), &key, &inner, BPF_ANY);
}

void Program::live(std::chrono::seconds lease) {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  const std::uint64_t ns = static_cast<std::uint64_t>(now.tv_sec + lease.count()) * 1'000'000'000 +
                           static_cast<std::uint64_t>(now.tv_nsec);
  __atomic_store_n(&settings()->until, static_cast<std::uint32_t>((ns >> DVR_TICK_SHIFT) + 1),
                   __ATOMIC_RELEASE);
}

void Program::set_digest(const Digest& digest) {
  const std::string bytes = digest.bytes();
  State now{};
  std::memcpy(&now.high, bytes.data(), 8);
  std::memcpy(&now.low, bytes.data() + 8, 8);
  now.seal = seal_of(now);
  auto* const at = state_.as<State>();
  __atomic_store_n(&at->seal, 0, __ATOMIC_SEQ_CST);
  __atomic_store_n(&at->high, now.high, __ATOMIC_SEQ_CST);
  __atomic_store_n(&at->low, now.low, __ATOMIC_SEQ_CST);
  __atomic_store_n(&at->seal, now.seal, __ATOMIC_SEQ_CST);
}

std::optional<Digest> pinned_digest(const std::string& path) {
  const Descriptor fd(bpf_obj_get(path.c_str()));
  const std::uint32_t key = 0;
  std::uint8_t value[64];
  if (!fd || bpf_map_lookup_elem(fd.get(), &key, value) != 0) return std::nullopt;
  State s;
  std::memcpy(&s, value, sizeof s);
  if (s.seal != seal_of(s)) return std::nullopt;
  return Digest::from_bytes(std::string(reinterpret_cast<const char*>(value), 16));
}

Status Program::set_port(std::uint32_t port, std::uint32_t interface) {
  const int e = interface != 0 ? bpf_map_update_elem(ports_, &port, &interface, BPF_ANY)
                               : bpf_map_delete_elem(ports_, &port);
  if (e == 0 || (interface == 0 && errno == ENOENT)) return {};
  return {Code::kIo, "a port of the XDP program: " + words(errno)};
}

std::array<std::uint64_t, DVR_REASON_COUNT> Program::reasons() const {
  std::array<std::uint64_t, DVR_REASON_COUNT> out{};
  const int processors = libbpf_num_possible_cpus();
  if (processors <= 0) return out;
  std::vector<std::uint64_t> values(static_cast<std::size_t>(processors));
  for (std::uint32_t i = 0; i < out.size(); ++i) {
    if (bpf_map_lookup_elem(reasons_, &i, values.data()) != 0) continue;
    for (const std::uint64_t v : values) out[i] += v;
  }
  return out;
}

std::vector<dvr_traffic> Program::traffic(std::uint32_t count) const {
  count = std::min(count, sizes_.groups);
  const int processors = libbpf_num_possible_cpus();
  if (processors <= 0 || count == 0) return {};
  const auto n = static_cast<std::size_t>(processors);
  std::vector<std::uint32_t> keys(count);
  std::vector<dvr_traffic> values(count * n);
  std::uint32_t next = 0, done = count;
  const auto options = bpf_options<bpf_map_batch_opts>();
  if (bpf_map_lookup_batch(traffic_, nullptr, &next, keys.data(), values.data(), &done, &options) !=
          0 &&
      errno != ENOENT) {
    return {};
  }
  std::vector<dvr_traffic> out(count);
  for (std::size_t i = 0; i < done; ++i) {
    for (std::size_t p = 0; p < n; ++p) {
      out[keys[i]].packets += values[i * n + p].packets;
      out[keys[i]].bytes += values[i * n + p].bytes;
    }
  }
  return out;
}

void Program::clear_traffic(std::uint32_t id) const {
  const int processors = libbpf_num_possible_cpus();
  if (processors <= 0 || id >= sizes_.groups) return;
  const std::vector<dvr_traffic> zero(static_cast<std::size_t>(processors));
  bpf_map_update_elem(traffic_, &id, zero.data(), BPF_ANY);
}

Status Program::pin(const std::string& directory) const {
  bpf_map* m = nullptr;
  bpf_object__for_each_map(m, object_.get()) {
    if (std::strstr(bpf_map__name(m), ".rodata") != nullptr) continue;
    const std::string path = directory + "/" + bpf_map__name(m);
    if (const int e = bpf_obj_pin(bpf_map__fd(m), path.c_str()); e != 0) {
      return {Code::kIo, "pinning " + path + ": " + words(errno)};
    }
  }
  return {};
}

int Program::run(std::vector<std::uint8_t>* frame, std::uint32_t interface) const {
  std::vector<std::uint8_t> out(frame->size() + 512);
  xdp_md context{};
  context.data_end = static_cast<std::uint32_t>(frame->size());
  context.ingress_ifindex = interface;
  auto options = bpf_options<bpf_test_run_opts>();
  options.data_in = frame->data();
  options.data_out = out.data();
  options.data_size_in = static_cast<std::uint32_t>(frame->size());
  options.data_size_out = static_cast<std::uint32_t>(out.size());
  options.ctx_in = &context;
  options.ctx_size_in = sizeof context;
  options.repeat = 1;
  if (bpf_prog_test_run_opts(program_, &options) != 0) return -errno;
  out.resize(options.data_size_out);
  *frame = std::move(out);
  return static_cast<int>(options.retval);
}

}  // namespace dvr::xdp
