#include "lib/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

namespace dvr {

FileDescriptor& FileDescriptor::operator=(FileDescriptor&& o) noexcept {
  if (this != &o) {
    reset();
    fd_ = o.fd_;
    o.fd_ = -1;
  }
  return *this;
}

void FileDescriptor::reset() {
  if (fd_ >= 0) close(fd_);
  fd_ = -1;
}

Status io_error(std::string_view what, const std::string& path) {
  const int error = errno;
  return {Code::kIo, std::string(what) + " " + path + ": " + std::strerror(error)};
}

Status read_file(const std::string& path, std::optional<std::string>* out) {
  out->reset();
  const FileDescriptor fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return errno == ENOENT ? Status{} : io_error("open", path);
  struct stat st{};
  if (fstat(fd.get(), &st) != 0) return io_error("stat", path);
  if (!S_ISREG(st.st_mode)) return {Code::kIo, path + " is not a file"};
  std::string bytes(static_cast<std::size_t>(st.st_size), '\0');
  std::size_t have = 0;
  while (have < bytes.size()) {
    const ssize_t n = read(fd.get(), bytes.data() + have, bytes.size() - have);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return io_error("read", path);
    if (n == 0) break;
    have += static_cast<std::size_t>(n);
  }
  bytes.resize(have);
  *out = std::move(bytes);
  return {};
}

Status write_all(int fd, std::string_view bytes, const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t n = write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return io_error("write", path);
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
  return {};
}

Status sync_parent(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  const std::string parent = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  const FileDescriptor fd(open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid()) return io_error("open", parent);
  if (fsync(fd.get()) != 0) return io_error("fsync", parent);
  return {};
}

Status replace_file(const std::string& path, std::string_view bytes, bool sync) {
  const std::string temporary = path + ".tmp";
  FileDescriptor fd(open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (!fd.valid()) return io_error("create", temporary);
  if (Status s = write_all(fd.get(), bytes, temporary); !s.ok()) return s;
  if (sync && fsync(fd.get()) != 0) return io_error("fsync", temporary);
  fd.reset();
  if (std::rename(temporary.c_str(), path.c_str()) != 0) return io_error("rename", temporary);
  return sync ? sync_parent(path) : Status{};
}

}  // namespace dvr
