#include "sinks/kernel/netlink.h"

#include <libmnl/libmnl.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <system_error>

namespace dvr::kernel {
namespace {

// What a read takes at most; the kernel makes dumps in pieces of up to 32 KiB.
constexpr std::size_t kReadBytes = std::size_t{64} << 10;
constexpr int kSendBytes = 4 << 20;
// The kernel answers before send() returns; this only bounds a wait for what was lost.
constexpr timeval kPatience{5, 0};

std::system_error failed(const char* what) { return {errno, std::generic_category(), what}; }

void set_option(mnl_socket* s, int option) {
  int on = 1;
  mnl_socket_setsockopt(s, option, &on, sizeof on);
}

void set_buffer(int fd, int forced, int plain, std::size_t bytes) {
  const int size = static_cast<int>(bytes);
  if (::setsockopt(fd, SOL_SOCKET, forced, &size, sizeof size) != 0) {
    ::setsockopt(fd, SOL_SOCKET, plain, &size, sizeof size);
  }
}

}  // namespace

Outcome outcome_of(const nlmsghdr* message) {
  const std::size_t payload = mnl_nlmsg_get_payload_len(message);
  if (message->nlmsg_len < sizeof(nlmsghdr) + sizeof(nlmsgerr)) {
    return {EBADMSG, "the kernel's answer is cut off"};
  }
  const auto* const error = static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(message));
  if (error->error == 0) return {};
  // No number of an error: its negative would be none either.
  if (error->error > 0 || error->error < -4095) return {EBADMSG, "the kernel's answer is no error"};
  Outcome outcome{-error->error, std::strerror(-error->error)};
  if ((message->nlmsg_flags & NLM_F_ACK_TLVS) == 0) return outcome;
  std::size_t offset = sizeof(nlmsgerr);
  if ((message->nlmsg_flags & NLM_F_CAPPED) == 0) {
    if (error->msg.nlmsg_len < sizeof(nlmsghdr)) return outcome;
    offset += error->msg.nlmsg_len - sizeof(nlmsghdr);
  }
  offset = MNL_ALIGN(offset);
  if (offset > payload) return outcome;
  const auto* at = static_cast<const nlattr*>(mnl_nlmsg_get_payload_offset(message, offset));
  const auto* const end = static_cast<const char*>(mnl_nlmsg_get_payload_tail(message));
  for (; mnl_attr_ok(at, static_cast<int>(end - reinterpret_cast<const char*>(at)));
       at = mnl_attr_next(at)) {
    if (mnl_attr_get_type(at) == NLMSGERR_ATTR_MSG &&
        mnl_attr_validate(at, MNL_TYPE_NUL_STRING) == 0) {
      outcome.words = mnl_attr_get_str(at);
    }
  }
  return outcome;
}

NetlinkSocket::NetlinkSocket(std::size_t receive_bytes, const std::vector<unsigned>& groups)
    : socket_(mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC), mnl_socket_close),
      buffer_(kReadBytes) {
  if (socket_ == nullptr) throw failed("netlink: open a socket");
  set_buffer(fd(), SO_RCVBUFFORCE, SO_RCVBUF, receive_bytes);
  set_buffer(fd(), SO_SNDBUFFORCE, SO_SNDBUF, kSendBytes);
  ::setsockopt(fd(), SOL_SOCKET, SO_RCVTIMEO, &kPatience, sizeof kPatience);
  set_option(socket_.get(), NETLINK_EXT_ACK);
  set_option(socket_.get(), NETLINK_CAP_ACK);
  set_option(socket_.get(), NETLINK_GET_STRICT_CHK);
  if (mnl_socket_bind(socket_.get(), 0, MNL_SOCKET_AUTOPID) != 0) throw failed("netlink: bind");
  for (unsigned group : groups) {
    if (mnl_socket_setsockopt(socket_.get(), NETLINK_ADD_MEMBERSHIP, &group, sizeof group) != 0) {
      throw failed("netlink: listen");
    }
  }
}

NetlinkSocket::~NetlinkSocket() = default;

int NetlinkSocket::fd() const { return mnl_socket_get_fd(socket_.get()); }
std::uint32_t NetlinkSocket::port() const { return mnl_socket_get_portid(socket_.get()); }

void NetlinkSocket::set_filter(const sock_fprog& program) {
  if (::setsockopt(fd(), SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) != 0) {
    throw failed("netlink: filter");
  }
}

ssize_t NetlinkSocket::receive(int flags) {
  for (;;) {
    const ssize_t n = ::recv(fd(), buffer_.data(), buffer_.size(), flags);
    if (n >= 0 || errno != EINTR) return n;
  }
}

Outcome NetlinkSocket::request(nlmsghdr* request,
                               const std::function<void(const nlmsghdr*)>& reply) {
  request->nlmsg_seq = ++sequence_;
  request->nlmsg_flags |= NLM_F_REQUEST | NLM_F_ACK;
  if (mnl_socket_sendto(socket_.get(), request, request->nlmsg_len) < 0) {
    return {errno, std::strerror(errno)};
  }
  for (;;) {
    const ssize_t n = receive(0);
    if (n < 0) return {errno, std::strerror(errno)};
    int left = static_cast<int>(n);
    for (auto* m = reinterpret_cast<const nlmsghdr*>(buffer_.data()); mnl_nlmsg_ok(m, left);
         m = mnl_nlmsg_next(m, &left)) {
      if (m->nlmsg_seq != sequence_) continue;
      if (m->nlmsg_type == NLMSG_ERROR) return outcome_of(m);
      if (reply) reply(m);
    }
  }
}

Outcome NetlinkSocket::batch(void* bytes, std::size_t size,
                             const std::function<void(std::size_t, Outcome)>& failed) {
  const std::uint32_t first = sequence_ + 1;
  nlmsghdr* last = nullptr;
  int left = static_cast<int>(size);
  for (auto* m = static_cast<nlmsghdr*>(bytes); mnl_nlmsg_ok(m, left);
       m = mnl_nlmsg_next(m, &left)) {
    m->nlmsg_seq = ++sequence_;
    m->nlmsg_flags |= NLM_F_REQUEST;
    last = m;
  }
  if (last == nullptr) return {};
  last->nlmsg_flags |= NLM_F_ACK;
  if (mnl_socket_sendto(socket_.get(), bytes, size) < 0) return {errno, std::strerror(errno)};
  for (;;) {
    const ssize_t n = receive(0);
    if (n < 0) return {errno, std::strerror(errno)};
    left = static_cast<int>(n);
    for (auto* m = reinterpret_cast<nlmsghdr*>(buffer_.data()); mnl_nlmsg_ok(m, left);
         m = mnl_nlmsg_next(m, &left)) {
      // Answers to what an earlier call gave up are passed over.
      if (m->nlmsg_type != NLMSG_ERROR || m->nlmsg_seq - first > sequence_ - first) continue;
      Outcome outcome = outcome_of(m);
      if (!outcome.ok()) failed(m->nlmsg_seq - first, std::move(outcome));
      if (m->nlmsg_seq == sequence_) return {};
    }
  }
}

Outcome NetlinkSocket::dump(nlmsghdr* request) {
  request->nlmsg_seq = ++sequence_;
  request->nlmsg_flags |= NLM_F_REQUEST | NLM_F_DUMP;
  interrupted_ = false;
  if (mnl_socket_sendto(socket_.get(), request, request->nlmsg_len) < 0) {
    return {errno, std::strerror(errno)};
  }
  return {};
}

NetlinkSocket::Dump NetlinkSocket::dumped(const std::function<void(const nlmsghdr*)>& f) {
  const ssize_t n = receive(0);
  if (n < 0) return Dump::kFailed;
  int left = static_cast<int>(n);
  for (auto* m = reinterpret_cast<const nlmsghdr*>(buffer_.data()); mnl_nlmsg_ok(m, left);
       m = mnl_nlmsg_next(m, &left)) {
    if (m->nlmsg_seq != sequence_) continue;
    interrupted_ |= (m->nlmsg_flags & NLM_F_DUMP_INTR) != 0;
    if (m->nlmsg_type == NLMSG_ERROR || m->nlmsg_type == NLMSG_DONE) {
      int error = 0;
      if (mnl_nlmsg_get_payload_len(m) >= sizeof error) {
        std::memcpy(&error, mnl_nlmsg_get_payload(m), sizeof error);
      }
      // A table that does not exist yet is empty.
      if (error < 0 && error != -ENOENT) return Dump::kFailed;
      return interrupted_ ? Dump::kInterrupted : Dump::kDone;
    }
    f(m);
  }
  return Dump::kMore;
}

int NetlinkSocket::notifications(const std::function<void(const nlmsghdr*)>& f) {
  const ssize_t n = receive(MSG_DONTWAIT);
  if (n < 0) return errno == ENOBUFS ? -1 : 0;
  int left = static_cast<int>(n);
  for (auto* m = reinterpret_cast<const nlmsghdr*>(buffer_.data()); mnl_nlmsg_ok(m, left);
       m = mnl_nlmsg_next(m, &left)) {
    f(m);
  }
  return static_cast<int>(n);
}

}  // namespace dvr::kernel
