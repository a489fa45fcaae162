// Files that survive: the few system calls that a state directory needs.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "lib/status.h"

namespace dvr {

// FileDescriptor closes what it holds.
class FileDescriptor {
 public:
  FileDescriptor() = default;
  explicit FileDescriptor(int fd) : fd_(fd) {}
  ~FileDescriptor() { reset(); }
  FileDescriptor(FileDescriptor&& o) noexcept : fd_(o.fd_) { o.fd_ = -1; }
  FileDescriptor& operator=(FileDescriptor&& o) noexcept;

  [[nodiscard]] int get() const { return fd_; }
  [[nodiscard]] bool valid() const { return fd_ >= 0; }
  void reset();

 private:
  int fd_ = -1;
};

// A kIo status: what failed on which path, and errno's words.
Status io_error(std::string_view what, const std::string& path);

// The whole file. kIo with a message when it cannot be read; absent: ok and none.
Status read_file(const std::string& path, std::optional<std::string>* out);
Status write_all(int fd, std::string_view bytes, const std::string& path);
// Replaces path: temporary file, sync, rename, sync of the directory.
Status replace_file(const std::string& path, std::string_view bytes, bool sync);
// Syncs the directory that holds path.
Status sync_parent(const std::string& path);

}  // namespace dvr
