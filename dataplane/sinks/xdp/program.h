// The program in the kernel with its maps: one generation. And how it gets to interfaces and stays.
//
// Threading: one thread at a time, but for what says otherwise.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "lib/digest.h"
#include "lib/status.h"
#include "sinks/xdp/layout.h"

struct bpf_object;

namespace dvr::xdp {

// What is allocated when a generation is made; none of it can grow.
struct Sizes {
  std::size_t pool = std::size_t{16} << 20;  // bytes, a power of two, at most 128 MiB
  std::uint32_t groups = 16384;
  std::uint32_t nexthops = 8192;
};

// Descriptor is a file descriptor that is closed.
class Descriptor {
 public:
  explicit Descriptor(int fd = -1) : fd_(fd) {}
  ~Descriptor();
  Descriptor(Descriptor&& other) noexcept;
  Descriptor& operator=(Descriptor&& other) noexcept;
  [[nodiscard]] int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }

 private:
  int fd_;
};

// Memory of a map that the program reads while it is written here.
class Mapping {
 public:
  Mapping() = default;
  Mapping(void* data, std::size_t bytes) : data_(data), bytes_(bytes) {}
  ~Mapping();
  Mapping(Mapping&& other) noexcept;
  Mapping& operator=(Mapping&& other) noexcept;
  template <class T>
  [[nodiscard]] T* as() const {
    return static_cast<T*>(data_);
  }

 private:
  void* data_ = nullptr;
  std::size_t bytes_ = 0;
};

class Program {
 public:
  // Whether this process can use BPF at all. Errors: kIo, with what is missing.
  static Status possible();
  // Needs CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN. Errors: kIo with the kernel's words, and what
  // is missing where that is known.
  static Status load(const Sizes& sizes, std::unique_ptr<Program>* out);
  ~Program();
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  [[nodiscard]] const Sizes& sizes() const { return sizes_; }
  [[nodiscard]] dvr_settings* settings() const { return settings_.as<dvr_settings>(); }
  [[nodiscard]] std::uint32_t* root4() const { return root4_.as<std::uint32_t>(); }
  [[nodiscard]] std::uint32_t* root6() const { return root6_.as<std::uint32_t>(); }
  [[nodiscard]] std::uint8_t* pool() const { return pool_.as<std::uint8_t>(); }
  [[nodiscard]] std::uint64_t* groups() const { return groups_.as<std::uint64_t>(); }
  [[nodiscard]] dvr_nexthop* nexthops() const { return nexthops_.as<dvr_nexthop>(); }
  [[nodiscard]] std::uint64_t* ingress() const { return ingress_.as<std::uint64_t>(); }
  // The program forwards for so long from now, in seconds or a little more, unless told again.
  void live(std::chrono::seconds lease);
  // Names the table that it forwards by, for who takes over.
  void set_digest(const Digest& digest);

  [[nodiscard]] int fd() const { return program_; }
  // Where packets leave: an interface's index, 0 to take it away.
  Status set_port(std::uint32_t port, std::uint32_t interface);

  // Any thread. Sums over the processors; empty where the kernel does not answer.
  [[nodiscard]] std::array<std::uint64_t, DVR_REASON_COUNT> reasons() const;
  [[nodiscard]] std::vector<dvr_traffic> traffic(std::uint32_t count) const;
  void clear_traffic(std::uint32_t id) const;

  // Pins all maps into an existing directory.
  Status pin(const std::string& directory) const;

  // Returns after an RCU grace period. Any thread.
  void grace() const;

  // Runs the program on a frame that came in by an interface. What became of it is in *frame.
  // The XDP verdict; negative: an errno.
  int run(std::vector<std::uint8_t>* frame, std::uint32_t interface) const;

 private:
  Program() = default;
  [[nodiscard]] Status open(const Sizes& sizes);
  [[nodiscard]] int map(const char* name) const;

  Sizes sizes_;
  std::unique_ptr<bpf_object, void (*)(bpf_object*)> object_{nullptr, nullptr};
  int program_ = -1;
  Mapping settings_, root4_, root6_, pool_, groups_, nexthops_, ingress_, state_;
  int reasons_ = -1, traffic_ = -1, ports_ = -1;
  Descriptor grace_map_, grace_inner_;
};

// The digest that a pinned map of state names; none: there is no such map, or it names none.
std::optional<Digest> pinned_digest(const std::string& path);

}  // namespace dvr::xdp
