#include "sinks/xdp/xdp_sink.h"

#include <net/if.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>

#include "sinks/xdp/attachment.h"
#include "sinks/xdp/features.h"
#include "sinks/xdp/groups.h"
#include "sinks/xdp/memory.h"
#include "sinks/xdp/others.h"
#include "sinks/xdp/program.h"
#include "sinks/xdp/table.h"
#include "sinks/xdp/watch.h"

namespace dvr {
namespace {

using namespace xdp;
using Clock = std::chrono::steady_clock;

// Address space that the tries may take.
constexpr std::size_t kTrieLimit = std::size_t{1} << 30;
constexpr std::size_t kLargestPool = std::size_t{128} << 20;
// Groups that counters() tells of.
constexpr std::size_t kBusiest = 32;
// A neighbour that failed is tried again after this.
constexpr std::chrono::seconds kRetry{5};
// After a generation could not be made.
constexpr std::chrono::seconds kGrowAgain{60};
// After a look that was not whole there is none for so many times as long as it took.
constexpr int kLookShare = 4;

// Program, maps and what is given out of them.
struct Generation {
  explicit Generation(std::unique_ptr<Program> p)
      : program(std::move(p)),
        pool(program->pool(), program->sizes().pool, [this] { program->grace(); }),
        slots(program->sizes().nexthops, [this] { program->grace(); }) {}

  std::unique_ptr<Program> program;
  Pool pool;
  Slots slots;
};

std::uint64_t mac_word(const LinkFact& link) {
  std::uint64_t word = 0;
  std::memcpy(&word, link.mac.data(), link.mac.size());
  return word | std::uint64_t{link.index >> DVR_INGRESS_BITS} << 48;
}

bool is_on(const char* path) {
  std::ifstream file(path);
  std::string value;
  std::getline(file, value);
  return value == "1";
}

std::uint32_t forwarding() {
  return (is_on("/proc/sys/net/ipv4/ip_forward") ? DVR_FORWARDS_4 : 0) |
         (is_on("/proc/sys/net/ipv6/conf/all/forwarding") ? DVR_FORWARDS_6 : 0);
}

// Where IPv4 is forwarded in general, but not what comes in by this interface. (Where it is not in
// general an interface may be for IPv6 alone.)
bool is_closed(const std::string& interface) {
  return !is_on(("/proc/sys/net/ipv4/conf/" + interface + "/forwarding").c_str());
}

}  // namespace

class XdpSink::Impl {
 public:
  Impl(const XdpOptions& options, Fib& fib, XdpObserver& observer)
      : options_(options),
        fib_(fib),
        observer_(observer),
        wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
        table4_(kTrieLimit),
        table6_(kTrieLimit),
        groups_(options.interfaces),
        others_(
            options.table, options.metric,
            [this](const Prefix& p, Others::Standing s) { set_other(p, s); },
            [this](const Prefix& p, std::uint32_t i) { groups_.set_direct(p, i); }),
        attachment_(options.bpffs, options.table),
        ports_(options.interfaces.size()),
        troubles_(options.interfaces.size()),
        closed_(options.interfaces.size()),
        watch_(options.table, {[this](const LinkFact& f) { heard(f); },
                               [this](const NeighbourFact& f) { heard(f); },
                               [this](const RouteFact& f) { heard(f); }}) {}
  ~Impl() {
    stop_ = true;
    wake();
    if (thread_.joinable()) thread_.join();
  }

  Status open() {
    for (const std::string& name : options_.interfaces) {
      if (::if_nametoindex(name.c_str()) == 0) return {Code::kInvalid, "no interface " + name};
    }
    if (Status s = attachment_.open(); !s.ok()) return s;
    const auto left = attachment_.inherited_digest();
    adoptable_ = !attachment_.inherited() || (left && *left == fib_.installed_digest());
    adopt_at_ = Clock::now() + options_.patience;
    Sizes sizes;
    sizes.pool = options_.pool;
    for (const StoredClass& c : fib_.classes()) {
      groups_.set(c.id, c.hops);
      note_class(c.id, c.class_id);
    }
    fib_.for_each4([&](const Prefix4& p, std::uint32_t id) { table4_.set(p, id + 1); });
    fib_.for_each6([&](const Prefix6& p, std::uint32_t id) { table6_.set(p, id + 1); });
    const std::lock_guard lock(mutex_);
    digest_ = fib_.installed_digest();
    if (Status s = renew(sizes); !s.ok()) return s;
    settle();
    return {};
  }
  // Once open() went well.
  Status start() {
    if (!watch_.read_links_and_neighbours()) return {Code::kIo, "the kernel tells no links"};
    {
      // What can be known of the interfaces now: an error that the operator sees.
      const std::lock_guard lock(mutex_);
      for (const std::string& name : options_.interfaces) {
        const std::uint32_t index = ::if_nametoindex(name.c_str());
        const auto link = groups_.links().find(index);
        if (link == groups_.links().end() || !link->second.ethernet) {
          return {Code::kInvalid, "interface " + name + " is no Ethernet"};
        }
        for (const std::string& other : options_.interfaces) {
          if (other != name &&
              ((::if_nametoindex(other.c_str()) ^ index) & ((1u << DVR_INGRESS_BITS) - 1)) == 0) {
            return {Code::kInvalid, "interfaces " + name + " and " + other +
                                        " cannot both be served: their indexes collide"};
          }
        }
      }
    }
    thread_ = std::thread([this] { run(); });
    return {};
  }

  // --- The writer's.

  void group_changed(std::uint32_t id, const ClassId& class_id, std::span<const NextHop> hops) {
    const std::lock_guard lock(mutex_);
    groups_.set(id, hops);
    note_class(id, class_id);
  }
  void prefix_set(const Prefix& p, std::uint32_t id) {
    const std::lock_guard lock(mutex_);
    if (p.address.family == 4) {
      table4_.set({p.address.as_v4(), p.length}, id + 1);
    } else {
      table6_.set({p.address.bits, p.length}, id + 1);
    }
  }
  void prefix_removed(const Prefix& p) {
    const std::lock_guard lock(mutex_);
    if (p.address.family == 4) {
      table4_.erase({p.address.as_v4(), p.length});
    } else {
      table6_.erase({p.address.bits, p.length});
    }
  }
  void class_released(std::uint32_t id) {
    const std::lock_guard lock(mutex_);
    // The id may be another class's soon: nothing may be left that has it.
    table4_.flush();
    table6_.flush();
    groups_.release(id);
    if (id < classes_.size()) classes_[id] = {};
    generation_->program->clear_traffic(id + 1);
    if (id + std::size_t{1} < carried_traffic_.size()) carried_traffic_[id + 1] = {};
  }
  void delta_ended(const Summary& summary) {
    const std::lock_guard lock(mutex_);
    settle();
    if (!summary.partial) {
      digest_ = fib_.installed_digest();
      generation_->program->set_digest(digest_);
    }
    heard_ |= !summary.partial && !summary.position.log_id.empty();
    attach();
    if (generation_->pool.waiting() > generation_->pool.size() / 16) wake();
  }
  SinkReport report() {
    const std::lock_guard lock(mutex_);
    settle();  // what left outside of a delta
    SinkReport r;
    r.installed = fib_.installed_digest();
    r.entries = fib_.installed_entries();
    return r;
  }

  // --- Any thread.

  [[nodiscard]] bool serving() {
    const std::lock_guard lock(mutex_);
    return attached_;
  }

  SinkCounters counters() {
    std::shared_ptr<Generation> g;
    SinkCounters out;
    std::vector<ClassId> classes;
    std::array<std::uint64_t, DVR_REASON_COUNT> carried;
    std::vector<dvr_traffic> carried_traffic;
    {
      const std::lock_guard lock(mutex_);
      carried = carried_;
      carried_traffic = carried_traffic_;
      g = generation_;
      classes = classes_;
      out.emplace_back("xdp_interfaces", attached_ ? attachment_.interfaces().size() : 0);
      out.emplace_back("xdp_interfaces_native", attachment_.native());
      out.emplace_back("xdp_table_bytes", g->pool.used());
      out.emplace_back("xdp_table_bytes_limit", g->pool.size());
      out.emplace_back("xdp_routes_of_others", table4_.others() + table6_.others());
      out.emplace_back("xdp_generations", generations_);
    }
    static constexpr std::array<const char*, DVR_REASON_COUNT> kNames{
#define DVR_X(name, text) text,
        DVR_REASONS(DVR_X)
#undef DVR_X
    };
    const auto reasons = g->program->reasons();
    for (std::size_t i = 0; i < reasons.size(); ++i)
      out.emplace_back(std::string("xdp_") + kNames[i], carried[i] + reasons[i]);
    std::vector<dvr_traffic> traffic =
        g->program->traffic(static_cast<std::uint32_t>(classes.size() + 1));
    for (std::size_t i = 0; i < std::min(traffic.size(), carried_traffic.size()); ++i) {
      traffic[i].packets += carried_traffic[i].packets;
      traffic[i].bytes += carried_traffic[i].bytes;
    }
    std::vector<std::uint32_t> order;
    for (std::uint32_t id = 1; id + 1 < traffic.size(); ++id) {
      if (traffic[id + 1].packets > 0 && classes[id] != ClassId{}) order.push_back(id);
    }
    std::sort(order.begin(), order.end(), [&](std::uint32_t a, std::uint32_t b) {
      return traffic[a + 1].packets > traffic[b + 1].packets;
    });
    order.resize(std::min(order.size(), kBusiest));
    for (const std::uint32_t id : order) {
      out.emplace_back("xdp_group_" + classes[id].hex() + "_packets", traffic[id + 1].packets);
      out.emplace_back("xdp_group_" + classes[id].hex() + "_bytes", traffic[id + 1].bytes);
    }
    return out;
  }

 private:
  void note_class(std::uint32_t id, const ClassId& class_id) {
    if (id >= classes_.size()) classes_.resize(id + std::size_t{1});
    classes_[id] = class_id;
  }

  void wake() const {
    const std::uint64_t one = 1;
    [[maybe_unused]] const ssize_t n = ::write(wake_.get(), &one, sizeof one);
  }

  // --- Facts, on the thread.

  void heard(const LinkFact& link) {
    const std::lock_guard lock(mutex_);
    const auto was = groups_.links().find(link.index);
    if (was != groups_.links().end() && was->second.enabled && (link.removed || !link.enabled)) {
      // IPv4 routes go with their interface, just after this, and nothing is said of them.
      look_again_ = true;
      look_at_ = std::max(look_at_, Clock::now() + options_.tick);
    }
    groups_.set_link(link);
  }
  void heard(const NeighbourFact& neighbour) {
    const std::lock_guard lock(mutex_);
    groups_.set_neighbour(neighbour);
  }
  void heard(const RouteFact& route) {
    const std::lock_guard lock(mutex_);
    look_again_ |= !others_.route(route);
  }
  void set_other(const Prefix& p, Others::Standing standing) {
    const auto apply = [standing](auto& table, const auto& prefix) {
      if (standing == Others::Standing::kNone) {
        table.erase_other(prefix);
      } else {
        table.set_other(prefix, standing == Others::Standing::kWeak);
      }
    };
    if (p.address.family == 4) {
      apply(table4_, Prefix4{p.address.as_v4(), p.length});
    } else {
      apply(table6_, Prefix6{p.address.bits, p.length});
    }
  }
  // What was known stays until a look that was whole did not meet it.
  void look_around() {
    {
      const std::lock_guard lock(mutex_);
      groups_.begin();
      others_.begin();
    }
    const auto began = Clock::now();
    const bool all = watch_.read_all();
    const auto ended = Clock::now();
    look_again_ = !all || !watch_.sound();
    look_at_ = ended + std::max<Clock::duration>(options_.tick, (ended - began) * kLookShare);
    const std::lock_guard lock(mutex_);
    if (!look_again_) {
      groups_.end();
      others_.end();
    }
    // Told once, however often it is tried.
    if (!all && told_) {
      observer_.trouble("XDP: the kernel does not tell links, neighbours and routes");
    }
    told_ = all;
    known_ |= all;
  }

  // --- With the mutex held.

  // Everything that was said is in the tables, if they have to be made larger for it.
  void settle() {
    table4_.flush();
    table6_.flush();
    groups_.refresh();
    if (overflowed() && Clock::now() >= grow_at_) grow();
    // A trie that is full lies: the kernel does it all.
    generation_->program->settings()->forwards =
        table4_.broken() || table6_.broken() ? 0 : forwards_;
  }
  [[nodiscard]] bool overflowed() const {
    return table4_.overflowed() || table6_.overflowed() || groups_.overflowed();
  }
  void grow() {
    Status status;
    // What a generation lacks shows when it is filled.
    do {
      Sizes sizes = generation_->program->sizes();
      if (groups_.size() + 1 >= sizes.groups) {
        while (groups_.size() + 1 >= sizes.groups) sizes.groups *= 2;
      } else if (groups_.overflowed() && generation_->pool.used() < sizes.pool / 4 * 3) {
        sizes.nexthops *= 2;
      } else if (sizes.pool < kLargestPool) {
        sizes.pool *= 2;
      } else {
        status = {Code::kTooLarge, "it is as large as it can be"};
        break;
      }
      status = renew(sizes);
    } while (status.ok() && overflowed());
    if (status.ok()) return;
    grow_at_ = Clock::now() + kGrowAgain;
    observer_.trouble(
        "XDP: a larger table cannot be had, so the kernel forwards what has no room (" +
        status.message() + ")");
  }

  // Makes a generation, fills it, and has attached interfaces go over to it.
  Status renew(const Sizes& sizes) {
    std::unique_ptr<Program> program;
    if (Status s = Program::load(sizes, &program); !s.ok()) return s;
    auto next = std::make_shared<Generation>(std::move(program));
    dvr_settings* const set = next->program->settings();
    table4_.render(next->program->root4(), &set->default4, &next->pool);
    table6_.render(next->program->root6(), &set->default6, &next->pool);
    groups_.render({next->program->groups(), sizes.groups, next->program->nexthops(), &next->slots,
                    &next->pool});
    set->forwards = forwards_;
    next->program->live(options_.lease);
    next->program->set_digest(digest_);
    const std::shared_ptr<Generation> before = std::exchange(generation_, std::move(next));
    ++generations_;
    std::fill(ports_.begin(), ports_.end(), Port{});
    sync_ports();
    if (!attached_) return {};
    attached_ = false;
    const Status attached = attach_all();
    carry(*before->program);
    return attached;
  }
  // Counters go on where a generation ends.
  void carry(const Program& program) {
    const auto reasons = program.reasons();
    for (std::size_t i = 0; i < reasons.size(); ++i) carried_[i] += reasons[i];
    const std::vector<dvr_traffic> traffic =
        program.traffic(static_cast<std::uint32_t>(classes_.size() + 1));
    carried_traffic_.resize(std::max(carried_traffic_.size(), traffic.size()));
    for (std::size_t i = 0; i < traffic.size(); ++i) {
      carried_traffic_[i].packets += traffic[i].packets;
      carried_traffic_[i].bytes += traffic[i].bytes;
    }
  }

  // Interfaces come, go and get other addresses.
  void sync_ports() {
    for (std::uint32_t p = 0; p < ports_.size(); ++p) {
      const LinkFact* now = nullptr;
      for (const auto& [index, link] : groups_.links()) {
        if (link.name == options_.interfaces[p]) now = &link;
      }
      const Port wanted = now == nullptr
                              ? Port{}
                              : Port{now->index, closed_[p] ? 0 : mac_word(*now), ports_[p].sends};
      Port& have = ports_[p];
      if (wanted == have) continue;
      std::uint64_t* const words = generation_->program->ingress();
      const auto place = [](std::uint32_t index) { return index & ((1u << DVR_INGRESS_BITS) - 1); };
      if (have.interface != wanted.interface) {
        if (have.interface != 0) {
          __atomic_store_n(&words[place(have.interface)], 0, __ATOMIC_RELEASE);
          attachment_.detach(have.interface);
          (void)generation_->program->set_port(p, 0);
          have.sends = false;
        }
      }
      if (wanted.interface != 0) {
        __atomic_store_n(&words[place(wanted.interface)], wanted.word, __ATOMIC_RELEASE);
      }
      have = {wanted.interface, wanted.word, have.sends};
    }
    if (attached_) attach_the_rest();
    open_ports();
  }
  // Packets leave by the ports that can send them; those of others go by way of the kernel.
  void open_ports() {
    for (std::uint32_t p = 0; p < ports_.size(); ++p) {
      Port& port = ports_[p];
      // Where no driver runs XDP itself, the kernel's stack sends.
      const bool sends =
          port.interface != 0 && (attachment_.native() == 0 || sends_frames(port.interface));
      if (sends == port.sends) continue;
      if (Status s = generation_->program->set_port(p, sends ? port.interface : 0); !s.ok()) {
        observer_.trouble("XDP: " + options_.interfaces[p] + ": " + s.message());
        continue;
      }
      port.sends = sends;
      if (!sends && port.interface != 0) {
        observer_.trouble("XDP: " + options_.interfaces[p] +
                          " cannot send what XDP forwards (a veth's peer needs GRO on, see "
                          "ethtool -K): the kernel does, and slower");
      }
    }
  }
  // A trouble is told once, however often it is tried.
  void attach_port(std::uint32_t p) {
    bool native = false;
    const Status s = attachment_.attach(*generation_->program, ports_[p].interface, &native);
    if (s.ok()) observer_.attached(options_.interfaces[p], native);
    const std::string now = s.ok() ? "" : "XDP: " + options_.interfaces[p] + ": " + s.message();
    if (!now.empty() && now != troubles_[p]) observer_.trouble(now);
    troubles_[p] = now;
  }
  // Interfaces that have come, or whose other program has gone.
  void attach_the_rest() {
    for (std::uint32_t p = 0; p < ports_.size(); ++p) {
      if (ports_[p].interface != 0 && !attachment_.attached(ports_[p].interface)) attach_port(p);
    }
  }
  Status attach_all() {
    // Where this fails for a link that is there, the old program goes on by what nobody renews.
    for (std::uint32_t p = 0; p < ports_.size(); ++p) {
      if (ports_[p].interface != 0) attach_port(p);
    }
    for (const std::uint32_t interface : attachment_.interfaces()) {
      if (std::none_of(ports_.begin(), ports_.end(),
                       [&](const Port& p) { return p.interface == interface; })) {
        attachment_.detach(interface);
      }
    }
    attached_ = true;
    open_ports();
    return attachment_.pin_maps(*generation_->program);
  }
  // When it is time: what an earlier data plane left is not replaced by what is older.
  void attach() {
    if (attached_ || !known_) return;
    if (!adoptable_ && !heard_ && Clock::now() < adopt_at_) return;
    sync_ports();
    if (Status s = attach_all(); !s.ok()) observer_.trouble("XDP: " + s.message());
  }

  // --- The thread.

  void run() {
    look_around();
    auto next_tick = Clock::now();
    for (;;) {
      step();
      reclaim();
      if (stop_) return;
      if (Clock::now() >= next_tick) {
        tick();
        next_tick = Clock::now() + options_.tick;
      }
      const auto left =
          std::chrono::duration_cast<std::chrono::milliseconds>(next_tick - Clock::now());
      pollfd fds[] = {{watch_.fd(), POLLIN, 0}, {wake_.get(), POLLIN, 0}};
      ::poll(fds, 2, static_cast<int>(std::max<std::int64_t>(0, left.count()) + 1));
      std::uint64_t count = 0;
      [[maybe_unused]] const ssize_t n = ::read(wake_.get(), &count, sizeof count);
      if (!watch_.listen() || (look_again_ && Clock::now() >= look_at_)) look_around();
    }
  }
  void step() {
    const std::lock_guard lock(mutex_);
    settle();
    sync_ports();
    attach();
  }
  void tick() {
    const std::uint32_t forwards = forwarding();
    std::vector<bool> closed;
    for (const std::string& name : options_.interfaces) {
      closed.push_back((forwards & DVR_FORWARDS_4) != 0 && is_closed(name));
    }
    std::vector<NeighbourFact> wanted;
    {
      const std::lock_guard lock(mutex_);
      generation_->program->live(options_.lease);
      forwards_ = forwards;
      closed_ = std::move(closed);
      sync_ports();
      wanted = groups_.wanted();
    }
    // The kernel sees no packets of the fast path: that a neighbour is in use, and whether
    // it is still there, it learns from here.
    const auto now = Clock::now();
    const bool retry = now >= retry_at_;
    if (retry) retry_at_ = now + kRetry;
    using State = NeighbourFact::State;
    for (const NeighbourFact& n : wanted) {
      if (n.state == State::kResolved ? n.stale : n.state == State::kUnknown || retry) {
        watch_.use(n.key);
      }
    }
  }
  // Waits for a grace period with the mutex free, and gives back what was retired before.
  void reclaim() {
    std::shared_ptr<Generation> g;
    std::vector<Pool::Block> blocks;
    std::vector<std::uint32_t> slots;
    {
      const std::lock_guard lock(mutex_);
      g = generation_;
      blocks = g->pool.take_retired();
      slots = g->slots.take_retired();
    }
    if (blocks.empty() && slots.empty()) return;
    g->program->grace();
    const std::lock_guard lock(mutex_);
    g->pool.give_back(blocks);
    g->slots.give_back(slots);
  }

  struct Port {
    std::uint32_t interface = 0;
    std::uint64_t word = 0;
    bool sends = false;
    friend bool operator==(const Port&, const Port&) = default;
  };

  const XdpOptions options_;
  Fib& fib_;
  XdpObserver& observer_;
  Descriptor wake_;

  std::mutex mutex_;  // for all below, but for the thread's
  Table4 table4_;
  Table6 table6_;
  Groups groups_;
  Others others_;
  Attachment attachment_;
  std::vector<Port> ports_;
  std::vector<std::string> troubles_;  // by port: what keeps it from being attached
  std::vector<bool> closed_;           // by port: the kernel does not forward what comes in there
  std::vector<ClassId> classes_;       // by local id
  Digest digest_;                      // of the last whole delta: the Fib is the writer's alone
  std::shared_ptr<Generation> generation_;
  std::uint64_t generations_ = 0;
  std::array<std::uint64_t, DVR_REASON_COUNT> carried_{};  // what earlier generations counted
  std::vector<dvr_traffic> carried_traffic_;               // by id
  std::uint32_t forwards_ = forwarding();
  bool known_ = false;      // what is around
  bool heard_ = false;      // a delta has ended
  bool adoptable_ = false;  // what was saved is what is pinned
  bool attached_ = false;
  Clock::time_point adopt_at_, grow_at_;

  Watch watch_;  // the thread's
  Clock::time_point retry_at_;
  bool look_again_ = false;    // the last look did not tell everything
  Clock::time_point look_at_;  // not before this
  bool told_ = true;           // by the last look
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

XdpSink::XdpSink(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
XdpSink::~XdpSink() = default;

Status XdpSink::open(const XdpOptions& options, Fib& fib, XdpObserver& observer,
                     std::unique_ptr<XdpSink>* out) {
  if (options.interfaces.empty() || options.interfaces.size() > DVR_MAX_PORTS) {
    return {Code::kInvalid, "1 to " + std::to_string(DVR_MAX_PORTS) + " interfaces are needed"};
  }
  std::unique_ptr<Impl> impl;
  try {
    impl = std::make_unique<Impl>(options, fib, observer);
  } catch (const std::system_error& e) {
    return {Code::kIo, e.what()};
  }
  Status s = impl->open();
  if (s.ok()) s = impl->start();
  if (!s.ok()) return s;
  out->reset(new XdpSink(std::move(impl)));
  return {};
}

std::size_t XdpSink::detach(const std::string& bpffs, std::uint32_t table) {
  return Attachment::detach_all(bpffs, table);
}

SinkReport XdpSink::report() const { return impl_->report(); }
SinkCounters XdpSink::counters() const { return impl_->counters(); }
bool XdpSink::serving() const { return impl_->serving(); }

void XdpSink::group_changed(std::uint32_t id, const ClassId& class_id,
                            std::span<const NextHop> hops) {
  impl_->group_changed(id, class_id, hops);
}
void XdpSink::prefix_set(const Prefix& p, std::uint32_t id) { impl_->prefix_set(p, id); }
void XdpSink::prefix_removed(const Prefix& p) { impl_->prefix_removed(p); }
void XdpSink::class_released(std::uint32_t id, const ClassId&) { impl_->class_released(id); }
void XdpSink::delta_ended(const Summary& summary) { impl_->delta_ended(summary); }

}  // namespace dvr
