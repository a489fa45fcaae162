#include "sinks/xdp/attachment.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <linux/magic.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <utility>

#include "sinks/xdp/bpf_options.h"

namespace dvr::xdp {
namespace {

namespace fs = std::filesystem;

constexpr const char* kLink = "link-";
constexpr const char* kMaps = "maps-";

// The number behind a name's beginning.
std::optional<std::uint32_t> number_after(const std::string& name, std::string_view beginning) {
  if (!name.starts_with(beginning)) return std::nullopt;
  std::uint32_t n = 0;
  const char* const end = name.data() + name.size();
  const auto [at, error] = std::from_chars(name.data() + beginning.size(), end, n);
  if (error != std::errc() || at != end) return std::nullopt;
  return n;
}

// What is in a directory; nothing where there is none.
std::vector<fs::path> entries(const fs::path& directory) {
  std::vector<fs::path> out;
  std::error_code error;
  for (fs::directory_iterator it(directory, error), end; !error && it != end; it.increment(error)) {
    out.push_back(it->path());
  }
  return out;
}

std::string place_of(std::uint32_t table) {
  struct stat at{};
  const bool known = ::stat("/proc/thread-self/ns/net", &at) == 0;
  return (known ? std::to_string(at.st_ino) : "unknown") + "-" + std::to_string(table);
}

bool is_bpffs(const std::string& path) {
  struct statfs at{};
  return ::statfs(path.c_str(), &at) == 0 && at.f_type == BPF_FS_MAGIC;
}

Status failed(const std::string& what) { return {Code::kIo, what + ": " + std::strerror(errno)}; }

// Why an interface has no program.
std::string why_not(int error) {
  const std::string words = std::strerror(error);
  switch (error) {
    case EBUSY:
    case EEXIST:
      return words + "; another one is there (ip link show)";
    case EOPNOTSUPP:
      return words + "; neither the driver nor the kernel has XDP for this interface";
    case EPERM:
    case EACCES:
      return words + "; CAP_NET_ADMIN is missing";
    default:
      return words;
  }
}

// The links that are pinned there, of any layout.
std::vector<fs::path> pinned_links(const std::string& root, const std::string& place) {
  std::vector<fs::path> out;
  for (const fs::path& layout : entries(root + "/dvr")) {
    if (!layout.filename().string().starts_with("xdp-")) continue;
    for (const fs::path& p : entries(layout / place)) {
      if (number_after(p.filename().string(), kLink)) out.push_back(p);
    }
  }
  return out;
}

// The index of the interface that a link is at; 0: none any more.
std::uint32_t interface_of(int link) {
  bpf_link_info info{};
  std::uint32_t size = sizeof info;
  if (bpf_obj_get_info_by_fd(link, &info, &size) != 0 || info.type != BPF_LINK_TYPE_XDP) return 0;
  return info.xdp.ifindex;
}

void remove_maps(const fs::path& directory) {
  for (const fs::path& p : entries(directory)) {
    if (!number_after(p.filename().string(), kMaps)) continue;
    std::error_code error;
    fs::remove_all(p, error);
  }
}

}  // namespace

Attachment::Attachment(std::string root, std::uint32_t table)
    : root_(std::move(root)),
      place_(place_of(table)),
      here_(root_ + "/dvr/xdp-" + std::to_string(DVR_XDP_LAYOUT) + "/" + place_) {}

Status Attachment::open() {
  std::error_code error;
  fs::create_directories(root_, error);
  // A mount would hide what is in there.
  if (!is_bpffs(root_) && !entries(root_).empty()) {
    return {Code::kInvalid, root_ + " is no BPF file system, and not empty"};
  }
  if (!is_bpffs(root_) && ::mount("bpf", root_.c_str(), "bpf", 0, "mode=0700") != 0) {
    return {Code::kIo, "there is no BPF file system at " + root_ +
                           ", and none can be mounted: " + std::strerror(errno) + "; " +
                           (errno == ENODEV ? "this kernel has none (CONFIG_BPF_SYSCALL)"
                                            : "mount one, or name its place with --bpffs")};
  }
  fs::create_directories(here_, error);
  if (error) return {Code::kIo, "making " + here_ + ": " + error.message()};
  for (const fs::path& path : pinned_links(root_, place_)) {
    Descriptor fd(bpf_obj_get(path.c_str()));
    const std::uint32_t interface = fd ? interface_of(fd.get()) : 0;
    if (interface == 0 || links_.contains(interface)) {
      ::unlink(path.c_str());
      continue;
    }
    links_.emplace(interface, Link{std::move(fd), path.string(), false});
    inherited_ = true;
  }
  return {};
}

std::optional<Digest> Attachment::inherited_digest() const {
  std::optional<std::pair<std::uint32_t, fs::path>> newest;
  for (const fs::path& p : entries(here_)) {
    const auto n = number_after(p.filename().string(), kMaps);
    if (n && (!newest || *n > newest->first)) newest = {*n, p};
  }
  if (!newest) return std::nullopt;
  return pinned_digest((newest->second / "state").string());
}

Status Attachment::pin_link(int fd, std::uint32_t interface, std::string* path) const {
  *path = here_ + "/" + kLink + std::to_string(interface);
  ::unlink(path->c_str());
  if (bpf_obj_pin(fd, path->c_str()) != 0) return failed("pinning " + *path);
  return {};
}

Status Attachment::attach(const Program& program, std::uint32_t interface, bool* native) {
  if (const auto it = links_.find(interface); it != links_.end()) {
    Link& link = it->second;
    if (bpf_link_update(link.fd.get(), program.fd(), nullptr) != 0) {
      return failed("replacing the XDP program of interface " + std::to_string(interface));
    }
    // From another layout's directory to ours.
    if (!link.path.starts_with(here_ + "/")) {
      const std::string before = link.path;
      if (Status s = pin_link(link.fd.get(), interface, &link.path); !s.ok()) return s;
      ::unlink(before.c_str());
    }
  } else {
    Link fresh;
    int error = 0;
    for (const std::uint32_t mode : {XDP_FLAGS_DRV_MODE, XDP_FLAGS_SKB_MODE}) {
      auto options = bpf_options<bpf_link_create_opts>();
      options.flags = mode;
      fresh.fd =
          Descriptor(bpf_link_create(program.fd(), static_cast<int>(interface), BPF_XDP, &options));
      if (fresh.fd) break;
      error = errno;
      if (error == EBUSY || error == EEXIST) break;
    }
    if (!fresh.fd) {
      return {Code::kIo, "attaching the XDP program: " + why_not(error)};
    }
    if (Status s = pin_link(fresh.fd.get(), interface, &fresh.path); !s.ok()) return s;
    links_.emplace(interface, std::move(fresh));
  }
  // The mode is the interface's: that of an inherited link is not known otherwise.
  auto query = bpf_options<bpf_xdp_query_opts>();
  *native = bpf_xdp_query(static_cast<int>(interface), 0, &query) == 0 &&
            query.attach_mode == XDP_ATTACHED_DRV;
  links_.at(interface).native = *native;
  return {};
}

void Attachment::detach(std::uint32_t interface) {
  const auto it = links_.find(interface);
  if (it == links_.end()) return;
  ::unlink(it->second.path.c_str());
  bpf_link_detach(it->second.fd.get());
  links_.erase(it);
}

std::vector<std::uint32_t> Attachment::interfaces() const {
  std::vector<std::uint32_t> out;
  for (const auto& [interface, link] : links_) out.push_back(interface);
  return out;
}

std::size_t Attachment::native() const {
  return static_cast<std::size_t>(
      std::count_if(links_.begin(), links_.end(), [](const auto& l) { return l.second.native; }));
}

Status Attachment::pin_maps(const Program& program) {
  std::uint32_t last = 0;
  std::vector<fs::path> old;
  for (const fs::path& p : entries(here_)) {
    const auto n = number_after(p.filename().string(), kMaps);
    if (!n) continue;
    last = std::max(last, *n);
    old.push_back(p);
  }
  const std::string directory = here_ + "/" + kMaps + std::to_string(last + 1);
  if (::mkdir(directory.c_str(), 0700) != 0) return failed("making " + directory);
  if (Status s = program.pin(directory); !s.ok()) return s;
  std::error_code error;
  for (const fs::path& p : old) fs::remove_all(p, error);
  // Nothing of another layout is in use any more.
  for (const fs::path& layout : entries(root_ + "/dvr")) {
    if (here_.starts_with(layout.string() + "/")) continue;
    remove_maps(layout / place_);
  }
  return {};
}

std::size_t Attachment::detach_all(const std::string& root, std::uint32_t table) {
  const std::string place = place_of(table);
  if (!is_bpffs(root)) return 0;
  std::size_t count = 0;
  for (const fs::path& path : pinned_links(root, place)) {
    const Descriptor fd(bpf_obj_get(path.c_str()));
    if (fd && interface_of(fd.get()) != 0) {
      ++count;
      bpf_link_detach(fd.get());
    }
    ::unlink(path.c_str());
  }
  for (const fs::path& layout : entries(root + "/dvr")) remove_maps(layout / place);
  return count;
}

}  // namespace dvr::xdp
