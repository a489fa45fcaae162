// Options of dvr-dataplane: flags over environment over defaults. Anything
// unknown, empty or contradictory is an error that names the option.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "stream/logger.h"

namespace dvr::cmd {

struct Options {
  std::vector<std::string> controllers{"127.0.0.1:9190"};
  std::string router;
  std::string sink = "memory";  // or "kernel", which has that beside it; or "xdp", which has both
  std::vector<std::string> interfaces;  // of the XDP sink
  std::string bpffs = "/sys/fs/bpf";
  bool xdp_detach = false;    // and end
  std::uint32_t table = 254;  // of the kernel: main
  std::uint32_t metric = 70;  // of the kernel's routes
  bool tune_kernel = false;
  std::uint32_t probe = 0;  // seconds between two probes of a next hop; 0: none
  std::string state_dir;    // empty: nothing is kept
  std::string listen = "127.0.0.1:9290";
  bool takeover = false;
  bool adopt = false;
  bool insecure = false;
  std::string ca_file, cert_file, key_file;  // all or none: the way to controllers is in TLS
  std::string crl_file;                      // what was revoked, DER; or empty
  bool json = false;
  stream::Level level = stream::Level::kInfo;
};

// The outcome of reading the command line: options to run with, or a text to
// print (help, version, or what is wrong) and the exit status.
struct Parsed {
  std::optional<Options> options;
  std::string text;
  int status = 0;
};

// Reads arguments (without the program's name) and the DVR_… environment.
Parsed parse_options(std::vector<std::string> arguments);

// Completes an address: without a host it means loopback (":9290" and "9290").
// False: it is neither host:port nor unix:path.
bool complete_address(std::string& address);

// Whether only this machine can reach a completed address.
bool is_loopback(const std::string& address);

}  // namespace dvr::cmd
