#include "sinks/xdp/features.h"

#include <libmnl/libmnl.h>
#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <sys/socket.h>

#include <cstring>
#include <functional>
#include <memory>

namespace dvr::xdp {
namespace {

// linux/netdev.h, which came with Linux 6.3.
constexpr std::uint8_t kGetDevice = 1;
constexpr std::uint16_t kIndex = 1, kFeatures = 3;
constexpr std::uint64_t kSends = 4;

constexpr timeval kPatience{1, 0};

class GenericSocket {
 public:
  GenericSocket() : socket_(mnl_socket_open2(NETLINK_GENERIC, SOCK_CLOEXEC), mnl_socket_close) {
    if (!socket_) return;
    ::setsockopt(mnl_socket_get_fd(socket_.get()), SOL_SOCKET, SO_RCVTIMEO, &kPatience,
                 sizeof kPatience);
    if (mnl_socket_bind(socket_.get(), 0, MNL_SOCKET_AUTOPID) != 0) socket_.reset();
  }

  // The attribute `wanted` of the answer to a request with one attribute; false: there is none.
  template <class T>
  bool ask(std::uint16_t family, std::uint8_t command, const std::function<void(nlmsghdr*)>& put,
           std::uint16_t wanted, T* value) {
    if (!socket_) return false;
    alignas(nlmsghdr) char bytes[8192];
    nlmsghdr* const m = mnl_nlmsg_put_header(bytes);
    m->nlmsg_type = family;
    m->nlmsg_flags = NLM_F_REQUEST;
    m->nlmsg_seq = ++sequence_;
    static_cast<genlmsghdr*>(mnl_nlmsg_put_extra_header(m, sizeof(genlmsghdr)))->cmd = command;
    put(m);
    if (mnl_socket_sendto(socket_.get(), m, m->nlmsg_len) < 0) return false;
    const ssize_t n = mnl_socket_recvfrom(socket_.get(), bytes, sizeof bytes);
    const auto* const answer = reinterpret_cast<const nlmsghdr*>(bytes);
    if (n <= 0 || !mnl_nlmsg_ok(answer, static_cast<int>(n)) || answer->nlmsg_type != family) {
      return false;
    }
    const auto* a =
        static_cast<const nlattr*>(mnl_nlmsg_get_payload_offset(answer, sizeof(genlmsghdr)));
    const auto* const end = static_cast<const char*>(mnl_nlmsg_get_payload_tail(answer));
    for (; mnl_attr_ok(a, static_cast<int>(end - reinterpret_cast<const char*>(a)));
         a = mnl_attr_next(a)) {
      if (mnl_attr_get_type(a) != wanted || mnl_attr_get_payload_len(a) < sizeof(T)) continue;
      std::memcpy(value, mnl_attr_get_payload(a), sizeof(T));
      return true;
    }
    return false;
  }

 private:
  std::unique_ptr<mnl_socket, int (*)(mnl_socket*)> socket_;
  std::uint32_t sequence_ = 0;
};

}  // namespace

bool sends_frames(std::uint32_t interface) {
  GenericSocket socket;
  std::uint16_t family = 0;
  if (!socket.ask(
          GENL_ID_CTRL, CTRL_CMD_GETFAMILY,
          [](nlmsghdr* m) { mnl_attr_put_strz(m, CTRL_ATTR_FAMILY_NAME, "netdev"); },
          CTRL_ATTR_FAMILY_ID, &family)) {
    return true;
  }
  std::uint64_t features = 0;
  if (!socket.ask(
          family, kGetDevice, [&](nlmsghdr* m) { mnl_attr_put_u32(m, kIndex, interface); },
          kFeatures, &features)) {
    return true;
  }
  return (features & kSends) != 0;
}

}  // namespace dvr::xdp
