// How a generation gets to interfaces, and stays there when this process ends.
//
//   <bpffs>/dvr/xdp-<layout>/<network namespace>-<kernel's table>/link-<interface's index>
//                                                               /maps-<n>/<map>
//
// A pinned link keeps its program and the program its maps; what is pinned of maps is for
// whoever wants to look, and tells the next data plane which table they are of. Links of other
// layouts are taken over like our own.
//
// Threading: one thread at a time.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "lib/digest.h"
#include "lib/status.h"
#include "sinks/xdp/program.h"

namespace dvr::xdp {

class Attachment {
 public:
  // `root` is where a BPF file system is, or gets mounted; `table` the kernel's, which one data
  // plane serves.
  Attachment(std::string root, std::uint32_t table);

  // Makes the directories and takes over what is pinned. Errors: kIo, kInvalid (a directory of
  // something else).
  Status open();
  // Some interface of this namespace forwards by a program that an earlier data plane left.
  [[nodiscard]] bool inherited() const { return inherited_; }
  // The table that it forwards by.
  [[nodiscard]] std::optional<Digest> inherited_digest() const;

  // Has the interface's packets handled by the program, from now on and after the end of this
  // process: native where the driver can, else generic. Errors: kIo.
  Status attach(const Program& program, std::uint32_t interface, bool* native);
  // Of an interface that is gone, or is ours no more.
  void detach(std::uint32_t interface);
  [[nodiscard]] bool attached(std::uint32_t interface) const { return links_.contains(interface); }
  [[nodiscard]] std::vector<std::uint32_t> interfaces() const;
  // How many of them are attached natively.
  [[nodiscard]] std::size_t native() const;
  // Pins the maps of the program that all attached interfaces have now, in place of those before.
  Status pin_maps(const Program& program);

  // Takes everything away that is pinned for the table in this network namespace. How many
  // interfaces had it.
  static std::size_t detach_all(const std::string& root, std::uint32_t table);

 private:
  struct Link {
    Descriptor fd;
    std::string path;
    bool native = false;
  };
  Status pin_link(int fd, std::uint32_t interface, std::string* path) const;

  std::string root_;
  std::string place_;  // within a layout's directory
  std::string here_;
  std::map<std::uint32_t, Link> links_;
  bool inherited_ = false;
};

}  // namespace dvr::xdp
