// A rtnetlink socket: requests with their outcomes, dumps, notifications.
//
// Threading: one thread a socket. Errors: open() throws std::system_error with what the
// operating system said; everything later is an Outcome.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "sinks/kernel/port.h"

struct mnl_socket;
struct nlmsghdr;
struct sock_fprog;

namespace dvr::kernel {

class NetlinkSocket {
 public:
  // Opens and binds; `groups` are RTNLGRP_ numbers to listen to. receive_bytes is taken past
  // the system's limit where privileges allow.
  explicit NetlinkSocket(std::size_t receive_bytes, const std::vector<unsigned>& groups = {});
  ~NetlinkSocket();
  NetlinkSocket(const NetlinkSocket&) = delete;
  NetlinkSocket& operator=(const NetlinkSocket&) = delete;

  [[nodiscard]] int fd() const;
  // The kernel's name for it: nlmsg_pid of what its requests cause.
  [[nodiscard]] std::uint32_t port() const;
  // Sets the filter of what is received.
  void set_filter(const sock_fprog& program);

  // One request, acknowledged; `request` needs room for its header only: sequence and
  // flags are set here. reply may be null; else it gets what the kernel answers.
  Outcome request(nlmsghdr* request, const std::function<void(const nlmsghdr*)>& reply = {});

  // Several requests in a row at `bytes`, numbered by this call from 0 on. f gets what failed.
  // Not ok: the outcomes of all are unknown.
  Outcome batch(void* bytes, std::size_t size,
                const std::function<void(std::size_t, Outcome)>& failed);

  // Sends a dump request; then dumped() takes some of its messages until it says so.
  Outcome dump(nlmsghdr* request);
  enum class Dump { kMore, kDone, kInterrupted, kFailed };
  // At most one read. kInterrupted: all was read, but the table changed meanwhile.
  Dump dumped(const std::function<void(const nlmsghdr*)>& f);

  // Reads notifications without waiting, one buffer; 0: none, -1: some were lost (ENOBUFS).
  int notifications(const std::function<void(const nlmsghdr*)>& f);

 private:
  ssize_t receive(int flags);

  std::unique_ptr<mnl_socket, int (*)(mnl_socket*)> socket_;
  std::uint32_t sequence_ = 0;
  bool interrupted_ = false;
  std::vector<char> buffer_;
};

// The kernel's answer in an NLMSG_ERROR.
Outcome outcome_of(const nlmsghdr* message);

}  // namespace dvr::kernel
