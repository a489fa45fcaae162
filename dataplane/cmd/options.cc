#include "cmd/options.h"

#include <arpa/inet.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <map>
#include <sstream>

#include "cmd/version.h"

namespace dvr::cmd {
namespace {

constexpr const char* kAbout =
    "The data plane of a DVR router: keeps its forwarding table in step with a controller\n"
    "and goes on serving it when no controller can be reached.";

bool is_port(const std::string& text) {
  unsigned port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  return error == std::errc() && end == text.data() + text.size() && port <= 65535 && !text.empty();
}

// [A-Za-z0-9]([A-Za-z0-9._-]{0,62})
bool is_router(const std::string& name) {
  const auto alnum = [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
  };
  return !name.empty() && name.size() <= 63 && alnum(name.front()) &&
         std::all_of(name.begin(), name.end(),
                     [&](char c) { return alnum(c) || c == '.' || c == '_' || c == '-'; });
}

std::string check_router(const std::string& name) {
  return is_router(name)
             ? ""
             : "must be 1 to 63 letters, digits, '.', '_' or '-', beginning with a letter or digit";
}

// Unspecified and local are the kernel's own.
std::string check_table(const std::string& text) {
  std::uint32_t table = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), table);
  if (error == std::errc() && end == text.data() + text.size() && table != 0 && table != 255) {
    return "";
  }
  return "must be 1 to 4294967295, but not 255, which is the kernel's table of its own addresses";
}

// Completes address, or throws what is wrong with it.
void require_address(const char* option, std::string& address) {
  if (complete_address(address)) return;
  throw CLI::ValidationError(option, "'" + address + "' is neither host:port nor unix:path");
}

}  // namespace

bool complete_address(std::string& address) {
  if (address.starts_with("unix:")) return address.size() > 5;
  if (is_port(address)) {
    address = "127.0.0.1:" + address;
    return true;
  }
  const std::size_t colon = address.rfind(':');
  if (colon == std::string::npos || !is_port(address.substr(colon + 1))) return false;
  const std::string host = address.substr(0, colon);
  if (host.empty()) {
    address = "127.0.0.1" + address;
    return true;
  }
  const bool bracketed = host.front() == '[' && host.back() == ']' && host.size() > 2;
  if (bracketed) {
    in6_addr six{};
    return ::inet_pton(AF_INET6, host.substr(1, host.size() - 2).c_str(), &six) == 1;
  }
  return std::all_of(host.begin(), host.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.' ||
           c == '_' || c == '-';
  });
}

bool is_loopback(const std::string& address) {
  if (address.starts_with("unix:")) return true;
  const std::string host = address.substr(0, address.rfind(':'));
  in_addr four{};
  if (::inet_pton(AF_INET, host.c_str(), &four) == 1) return (ntohl(four.s_addr) >> 24) == 127;
  return host == "localhost" || host == "[::1]";
}

Parsed parse_options(std::vector<std::string> arguments) {
  Options options;
  CLI::App app(kAbout, "dvr-dataplane");
  std::string format = "console";
  std::string level = "info";

  app.set_version_flag("--version", std::string("dvr-dataplane ") + kVersion);
  app.add_option("--controller", options.controllers,
                 "FIB address of a controller, host:port or unix:path; several with commas or by "
                 "repetition. "
                 "The others are learnt from the first that answers")
      ->delimiter(',')
      ->envname("DVR_CONTROLLER")
      ->type_name("ADDRESS,...")
      ->capture_default_str();
  app.add_option("--router", options.router, "Name of the router that this data plane forwards for")
      ->envname("DVR_ROUTER")
      ->type_name("NAME")
      ->required()
      ->check([](const std::string& name) { return check_router(name); }, "");
  app.add_option(
         "--sink", options.sink,
         "Where routes are installed: memory (this process's lookup engine), kernel (Linux "
         "forwards by them, too; needs CAP_NET_ADMIN), or xdp (so do the drivers of --interface, "
         "and Linux what they cannot; needs root)")
      ->envname("DVR_SINK")
      ->type_name("NAME")
      ->capture_default_str()
      ->check(CLI::IsMember({"memory", "kernel", "xdp"}));
  app.add_option(
         "--interface", options.interfaces,
         "Interfaces between which --sink xdp forwards; several with commas or by repetition")
      ->delimiter(',')
      ->envname("DVR_INTERFACE")
      ->type_name("NAME,...");
  app.add_option("--bpffs", options.bpffs,
                 "Directory where the XDP programs are pinned; a BPF file system is mounted there "
                 "where none is")
      ->envname("DVR_BPFFS")
      ->type_name("DIR")
      ->capture_default_str();
  app.add_flag("--xdp-detach", options.xdp_detach,
               "Take away what --sink xdp left at the interfaces for --table, and end");
  app.add_option("--table", options.table, "Kernel's table that routes are installed in")
      ->envname("DVR_TABLE")
      ->type_name("NUMBER")
      ->capture_default_str()
      ->check([](const std::string& text) { return check_table(text); }, "");
  app.add_option("--metric", options.metric,
                 "Metric of every route in the kernel; a route of another program with a lower one "
                 "wins")
      ->envname("DVR_METRIC")
      ->type_name("NUMBER")
      ->capture_default_str()
      ->check(CLI::Range(1u, 0xffffffffu));
  app.add_flag(
         "--tune-kernel", options.tune_kernel,
         "Set net.ipv4.nexthop_compat_mode to 0 in this network namespace: fail-over takes the "
         "same time whatever the number of prefixes")
      ->envname("DVR_TUNE_KERNEL");
  app.add_option(
         "--probe", options.probe,
         "Ask every next hop in use that the router's probes say nothing of whether it is there, "
         "every so many seconds; 0: what does not answer is only noticed by the traffic to it")
      ->envname("DVR_PROBE")
      ->type_name("SECONDS")
      ->capture_default_str()
      ->check(CLI::Range(0u, 3600u));
  app.add_option("--state-dir", options.state_dir,
                 "Directory that keeps instance, FIB and controllers over restarts; without it "
                 "nothing is kept")
      ->envname("DVR_STATE_DIR")
      ->type_name("DIR");
  app.add_option("--listen", options.listen,
                 "Where stats, health and lookups are served: host:port or unix:path")
      ->envname("DVR_LISTEN")
      ->type_name("ADDRESS")
      ->capture_default_str();
  app.add_flag("--takeover", options.takeover, "Take the router over from another instance at once")
      ->envname("DVR_TAKEOVER");
  app.add_flag("--adopt", options.adopt,
               "Accept a controller with another log, once: its routes replace the saved ones")
      ->envname("DVR_ADOPT");
  const auto file = [&](const char* name, const char* variable, std::string& value,
                        const char* what) {
    app.add_option(name, value, what)->envname(variable)->type_name("FILE");
  };
  file("--ca-file", "DVR_CA_FILE", options.ca_file,
       "Certificates of the authorities that are trusted; with it, --cert-file and --key-file "
       "controllers are spoken to in mutual TLS");
  file("--cert-file", "DVR_CERT_FILE", options.cert_file,
       "This data plane's certificate, which names its router");
  file("--key-file", "DVR_KEY_FILE", options.key_file, "Its private key");
  file("--crl-file", "DVR_CRL_FILE", options.crl_file, "Certificates that were revoked (DER)");
  app.add_flag("--insecure", options.insecure,
               "Allow --listen beyond loopback, without TLS or authentication")
      ->envname("DVR_INSECURE");
  app.add_option("--log-format", format, "console or json")
      ->envname("DVR_LOG_FORMAT")
      ->type_name("FORMAT")
      ->capture_default_str()
      ->check(CLI::IsMember({"console", "json"}));
  app.add_option("--log-level", level, "debug, info, warn or error")
      ->envname("DVR_LOG_LEVEL")
      ->type_name("LEVEL")
      ->capture_default_str()
      ->check(CLI::IsMember({"debug", "info", "warn", "error"}));

  try {
    std::reverse(arguments.begin(), arguments.end());  // CLI11 takes them from the back
    app.parse(std::move(arguments));
    if (options.controllers.empty()) throw CLI::ValidationError("--controller", "no address");
    for (std::string& address : options.controllers) {
      require_address("--controller", address);
      if (address.ends_with(":0") && !address.starts_with("unix:")) {
        throw CLI::ValidationError("--controller", "'" + address + "': port 0 cannot be dialled");
      }
    }
    if (options.sink == "memory" && options.tune_kernel) {
      throw CLI::ValidationError("--tune-kernel", "needs --sink kernel or xdp");
    }
    if (options.sink == "xdp" && options.interfaces.empty() && !options.xdp_detach) {
      throw CLI::ValidationError("--sink", "xdp needs --interface");
    }
    if (options.sink != "xdp" && !options.interfaces.empty()) {
      throw CLI::ValidationError("--interface", "needs --sink xdp");
    }
    for (auto it = options.interfaces.begin(); it != options.interfaces.end(); ++it) {
      if (std::find(options.interfaces.begin(), it, *it) != it) {
        throw CLI::ValidationError("--interface", "'" + *it + "' is named twice");
      }
    }
    if (options.sink == "memory" && options.probe != 0) {
      throw CLI::ValidationError("--probe", "needs --sink kernel or xdp");
    }
    const bool tls = !options.ca_file.empty() || !options.cert_file.empty() ||
                     !options.key_file.empty() || !options.crl_file.empty();
    if (tls && (options.ca_file.empty() || options.cert_file.empty() || options.key_file.empty())) {
      throw CLI::ValidationError(
          "--ca-file", "TLS needs --ca-file, --cert-file and --key-file; one of them is missing");
    }
    require_address("--listen", options.listen);
    if (!is_loopback(options.listen) && !options.insecure) {
      throw CLI::ValidationError(
          "--listen", options.listen + " can be reached from other machines, and nothing would " +
                          "protect it; use a loopback address or say --insecure");
    }
  } catch (const CLI::ParseError& error) {
    std::ostringstream out;
    const int status = app.exit(error, out, out);
    return {std::nullopt, out.str(), status == 0 ? 0 : 2};
  }
  static const std::map<std::string, stream::Level> kLevels{{"debug", stream::Level::kDebug},
                                                            {"info", stream::Level::kInfo},
                                                            {"warn", stream::Level::kWarn},
                                                            {"error", stream::Level::kError}};
  options.json = format == "json";
  options.level = kLevels.at(level);
  return {std::move(options), "", 0};
}

}  // namespace dvr::cmd
