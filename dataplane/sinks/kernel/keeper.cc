#include "sinks/kernel/keeper.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

namespace dvr::kernel {
namespace {

using std::chrono::milliseconds;

// Routes that are repaired between two looks at what else there is: 10 ms or less.
constexpr std::size_t kStepRoutes = 4096;
constexpr std::size_t kStepNews = 16384;
constexpr int kStepReads = 16;  // of an audit: some 5,000 routes
// Changes of next hops come in bursts, and a list that changes while it is read is read again.
constexpr milliseconds kLookPause{5};
constexpr milliseconds kAuditPause{1000};
constexpr milliseconds kLongestAuditPause{30000};
// Who asks for an audit hears after this many that all of it could not be compared.
constexpr unsigned kMostVain = 3;
constexpr std::size_t kMostAsking = 64;
constexpr milliseconds kFirstRetry{1000};
constexpr milliseconds kLastRetry{30000};

}  // namespace

Keeper::Keeper(const KernelOptions& options, KernelObserver& observer)
    : options_(options),
      observer_(observer),
      place_{options.table, options.metric},
      port_(place_),
      listener_(place_, port_.port(), options.listen_bytes),
      dump_(place_),
      mirror_(place_, has_wide_weights(), port_),
      neighbours_([this](const Neighbour& n) {
        const auto at = interfaces_.find(n.interface);
        const auto every = probes_.every(n.address, at == interfaces_.end() ? "" : at->second.name);
        return every.value_or(options_.probe_every);
      }),
      wakeup_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      audit_pause_(kAuditPause),
      pause_(kFirstRetry) {
  if (wakeup_ < 0) throw std::system_error(errno, std::generic_category(), "eventfd");
}

Keeper::~Keeper() { ::close(wakeup_); }

bool Keeper::permitted() {
  // Asks for what changes nothing.
  const std::uint32_t absent = Ids(place_.table).member(Ids::kMostMembers - 1);
  return port_.remove_nexthop(absent).error != EPERM;
}

void Keeper::load(Batch saved) { saved_ = std::move(saved); }

void Keeper::wake() {
  const std::uint64_t one = 1;
  // Full means that it is awake.
  [[maybe_unused]] const ssize_t n = ::write(wakeup_, &one, sizeof one);
}

void Keeper::stop() {
  stopping_.store(true, std::memory_order_release);
  feed_.close();
  wake();
}

SinkReport Keeper::report() const {
  const std::lock_guard lock(mutex_);
  return report_;
}

SinkCounters Keeper::counters() const {
  const std::lock_guard lock(mutex_);
  return counters_;
}

bool Keeper::audit(std::function<void(SinkAudit)> done) {
  {
    const std::lock_guard lock(mutex_);
    if (!ended_ && asked_.size() < kMostAsking) {
      asked_.push_back(std::move(done));
      asking_.store(true, std::memory_order_release);
      done = nullptr;
    }
  }
  if (done) {
    done({});
  } else {
    wake();
  }
  return true;
}

void Keeper::probe(const Probes& probes) {
  {
    const std::lock_guard lock(mutex_);
    new_probes_ = probes;
    reprobing_.store(true, std::memory_order_release);
  }
  wake();
}

// Takes over who is to be asked how often.
void Keeper::schedule(Clock::time_point now) {
  if (reprobing_.exchange(false, std::memory_order_acquire)) {
    const std::lock_guard lock(mutex_);
    names_changed_ = names_changed_ || probes_ != new_probes_;
    probes_ = new_probes_;
  }
  if (std::exchange(names_changed_, false)) neighbours_.reschedule(now);
}

bool Keeper::read_links() {
  const auto links = port_.links();
  if (!links) return false;
  const Clock::time_point now = Clock::now();
  for (const LinkFact& link : *links) take_link(link, now);
  return true;
}

void Keeper::heard_link(const LinkFact& link, Clock::time_point now) {
  const auto known = interfaces_.find(link.index);
  if (known == interfaces_.end() || link.gone || known->second.up || !link.usable) {
    take_link(link, now);
    return;
  }
  Interface& i = known->second;
  if (!i.waits) i.since = now;
  i.waits = link;
}

void Keeper::take_link(const LinkFact& link, Clock::time_point now) {
  const auto known = interfaces_.find(link.index);
  if (known != interfaces_.end()) {
    Interface& i = known->second;
    if ((i.up || i.waits) && !link.usable) i.hold.failed(now);
    i.waits.reset();
  }
  if (!mirror_.set_link(link) && known != interfaces_.end()) return;
  links_changed_ = nexthops_changed_ = true;
  if (!link.usable) why_ = "interface " + printable(link.name) + " went down";
  neighbours_.link(link.index, link.usable, now);
  const auto [at, first] = interfaces_.try_emplace(link.index);
  Interface& i = at->second;
  if (!first && (i.name != link.name || link.gone)) observer_.link(i.name, false);
  if ((first || i.up != link.usable || i.name != link.name) && !link.gone)
    observer_.link(link.name, link.usable);
  names_changed_ = names_changed_ || i.name != link.name;
  i.name = link.name;
  i.up = link.usable;
  if (link.gone) interfaces_.erase(at);
}

void Keeper::read_neighbours(Clock::time_point now) {
  const auto facts = port_.neighbours();
  if (!facts) return;
  for (const NeighbourFact& fact : *facts) neighbours_.heard(fact, now);
}

// Tells next hops that answer from those that do not.
void Keeper::watch(Clock::time_point now) {
  schedule(now);
  if (std::exchange(groups_changed_, false) && neighbours_.use(mirror_.neighbours(), now))
    read_neighbours(now);
  std::vector<LinkFact> well;
  for (const auto& [index, i] : interfaces_) {
    if (i.waits && now >= i.hold.usable(i.since)) well.push_back(*i.waits);
  }
  for (const LinkFact& link : well) take_link(link, now);
  for (const Neighbour& n : neighbours_.due(now)) {
    port_.probe(n);
    ++probed_;
  }
  const auto changes = neighbours_.changes(now);
  if (changes.empty()) return;
  mirror_.set_alive(changes);
  for (const auto& [n, alive] : changes) {
    const auto at = interfaces_.find(n.interface);
    observer_.next_hop(n.address, at == interfaces_.end() ? "" : at->second.name, alive);
  }
}

// What the kernel has from before, then what the saved table wants beyond it.
void Keeper::adopt() {
  for (GroupEvent& g : saved_.groups) mirror_.want_group(g.id, g.class_id, std::move(g.hops));
  // Without either list all that is there would look left over, and be removed by
  // the first delta.
  bool links = false;
  std::optional<std::vector<NexthopFact>> nexthops;
  while (!links || !nexthops) {
    links = links || read_links();
    if (!nexthops) nexthops = port_.nexthops();
    if (links && nexthops) break;
    if (stopping_.load(std::memory_order_acquire)) return;
    std::this_thread::sleep_for(kLookPause);
  }
  mirror_.set_nexthops(*nexthops, "");
  mirror_.begin_audit();
  bool sound = dump_.begin();
  while (sound && !stopping_.load(std::memory_order_acquire)) {
    const auto state = dump_.step([this](const RouteFact& route) { mirror_.audit(route); });
    if (state == RouteDump::State::kMore) continue;
    sound = state == RouteDump::State::kSound;
    break;
  }
  mirror_.end_audit(sound);
  // Short prefixes first: they carry the most if the kernel has none.
  std::sort(saved_.events.begin(), saved_.events.end(), [](const Event& a, const Event& b) {
    if (a.prefix.length != b.prefix.length) return a.prefix.length < b.prefix.length;
    return a.prefix.address.bits < b.prefix.address.bits;
  });
  for (const Event& e : saved_.events) mirror_.want(e.prefix, e.id);
  saved_ = {};
  mirror_.settle(false);
  mirror_.loaded();
}

void Keeper::run() {
  adopt();
  Clock::time_point now = Clock::now();
  next_audit_ = now + options_.audit_every;
  next_retry_ = now + pause_;
  while (!stopping_.load(std::memory_order_acquire)) {
    listen();
    now = Clock::now();
    look_at_nexthops(now);
    watch(now);
    const bool applied = apply();
    mirror_.work(kStepRoutes);
    retry(now);
    audit_step(now);
    if (!applied) tell();
    if (answerable_ && !mirror_.working() && !nexthops_changed_) answer(*answerable_);
    wait(now);
  }
  std::vector<Asker> left;
  {
    const std::lock_guard lock(mutex_);
    ended_ = true;
    left.swap(asked_);
  }
  std::move(left.begin(), left.end(), std::back_inserter(served_));
  answer(false);
}

void Keeper::wait(Clock::time_point now) {
  const bool busy =
      mirror_.working() || auditing_ || !feed_.empty() || asking_.load(std::memory_order_relaxed);
  milliseconds most{0};
  if (!busy) {
    Clock::time_point until = std::min(next_audit_, now + options_.tick);
    if (mirror_.failing()) until = std::min(until, next_retry_);
    if (overrun_ || nexthops_changed_ || mirror_.doubts_nexthops())
      until = std::min(until, earliest_look_);
    if (mirror_.doubts_routes()) until = std::min(until, earliest_audit_);
    if (const auto next = neighbours_.next()) until = std::min(until, *next);
    for (const auto& [index, i] : interfaces_) {
      if (i.waits) until = std::min(until, i.hold.usable(i.since));
    }
    if (groups_changed_ || links_changed_) until = now;
    most = std::max(milliseconds{0}, std::chrono::ceil<milliseconds>(until - now));
  }
  pollfd fds[] = {{listener_.fd(), POLLIN, 0}, {wakeup_, POLLIN, 0}};
  ::poll(fds, 2, static_cast<int>(most.count()));
  if ((fds[1].revents & POLLIN) != 0) {
    std::uint64_t count = 0;
    [[maybe_unused]] const ssize_t n = ::read(wakeup_, &count, sizeof count);
  }
}

void Keeper::listen() {
  names_.clear();
  const Clock::time_point now = Clock::now();
  const auto state = listener_.read(kStepNews, [this, now](const News& news) {
    ++news_;
    heard(news, now);
  });
  if (state == Listener::State::kOverrun) {
    overrun_ = true;
    ++overruns_;
    observer_.trouble("the kernel's news came faster than they were read; everything is compared");
  }
}

const std::string& Keeper::name_of(std::uint32_t port) {
  const auto [at, first] = names_.try_emplace(port);
  if (first) at->second = culprit(port);
  return at->second;
}

void Keeper::heard(const News& news, Clock::time_point now) {
  switch (news.kind) {
    case News::Kind::kRouteRemoved:
      mirror_.route_removed(news.route, "removed by " + name_of(news.by));
      break;
    case News::Kind::kRouteReplaced:
      mirror_.route_replaced(news.route, "replaced by " + name_of(news.by));
      break;
    case News::Kind::kNexthops:
      nexthops_changed_ = true;
      why_ = "next hops changed by " + name_of(news.by);
      break;
    case News::Kind::kLink:
      heard_link(news.link, now);
      break;
    case News::Kind::kNeighbour:
      neighbours_.heard(news.neighbour, now);
      break;
    case News::Kind::kAddresses:
      links_changed_ = true;
      break;
  }
}

void Keeper::look_at_nexthops(Clock::time_point now) {
  if (overrun_ && now >= earliest_look_ && !read_links()) {
    earliest_look_ = now + kLookPause;  // again
  } else if (overrun_ && now >= earliest_look_) {
    overrun_ = false;
    links_changed_ = nexthops_changed_ = true;
    why_ = "news of the kernel were lost";
    auditing_ = false;  // what it has read may be old
    start_audit(now);
    read_neighbours(now);
  }
  if ((nexthops_changed_ || mirror_.doubts_nexthops()) && now >= earliest_look_) {
    earliest_look_ = now + kLookPause;
    if (const auto facts = port_.nexthops()) {
      nexthops_changed_ = false;
      groups_changed_ = true;
      mirror_.set_nexthops(*facts, why_.empty() ? "next hops were lost" : why_);
      why_.clear();
    }
  }
  if (links_changed_) {
    links_changed_ = false;
    pause_ = kFirstRetry;
    next_retry_ = now + pause_;
    mirror_.locate();
    mirror_.retry();
  }
}

bool Keeper::apply() {
  const std::optional<Batch> batch = feed_.take();
  if (!batch) return false;
  apply(*batch);
  return true;
}

void Keeper::apply(const Batch& batch) {
  for (const Event& e : batch.events) {
    switch (e.kind) {
      case Event::Kind::kGroup: {
        const GroupEvent& g = batch.groups[e.id];
        mirror_.want_group(g.id, g.class_id, g.hops);
        break;
      }
      case Event::Kind::kSet:
        mirror_.want(e.prefix, e.id);
        break;
      case Event::Kind::kRemoved:
        mirror_.unwant(e.prefix);
        break;
      case Event::Kind::kReleased:
        mirror_.release(e.id);
        break;
    }
  }
  mirror_.settle(false);
  if (batch.end) {
    if (batch.whole) mirror_.complete();
    mirror_.settle(true);
    groups_changed_ = true;
    tell();
  }
  feed_.done(batch.number);
}

void Keeper::start_audit(Clock::time_point now) {
  next_audit_ = now + options_.audit_every;
  earliest_audit_ = now + audit_pause_;
  audit_began_ = now;
  answerable_.reset();
  const bool keep = !served_.empty();  // who still waits hears of what was found for him before
  if (asking_.exchange(false, std::memory_order_acquire)) {
    const std::lock_guard lock(mutex_);
    std::move(asked_.begin(), asked_.end(), std::back_inserter(served_));
    asked_.clear();
  }
  mirror_.begin_audit(keep);
  auditing_ = dump_.begin();
  if (!auditing_) end_audit(false);
}

void Keeper::end_audit(bool sound) {
  auditing_ = false;
  ++audits_;
  if (!sound) ++unsound_;
  const bool suspects = mirror_.end_audit(sound) > 0;
  audit_pause_ = sound && !suspects ? kAuditPause : std::min(audit_pause_ * 2, kLongestAuditPause);
  if (served_.empty()) return;
  vain_ = sound ? 0 : vain_ + 1;
  if (sound || vain_ == kMostVain) answerable_ = sound;
}

void Keeper::audit_step(Clock::time_point now) {
  if (!auditing_) {
    const bool due = now >= next_audit_ || asking_.load(std::memory_order_relaxed) ||
                     (mirror_.doubts_routes() && now >= earliest_audit_);
    // While much is repaired, the next audit would only find what is known. One that others
    // wait for is told of before the next begins.
    if (!due || mirror_.working() || answerable_) return;
    nexthops_changed_ = true;
    start_audit(now);
    return;
  }
  for (int i = 0; i < kStepReads; ++i) {
    const auto state = dump_.step([this](const RouteFact& route) { mirror_.audit(route); });
    if (state == RouteDump::State::kMore) continue;
    end_audit(state == RouteDump::State::kSound);
    return;
  }
}

// Tells who asked for an audit what it came to, now that what it found is set right.
void Keeper::answer(bool complete) {
  answerable_.reset();
  vain_ = 0;
  if (served_.empty()) return;
  SinkAudit audit;
  audit.complete = complete;
  audit.entries = mirror_.findings().routes;
  for (const Restoration& d : mirror_.findings().differences) {
    audit.differences.push_back({to_string(d.prefix), d.cause, d.count});
  }
  audit.failed = mirror_.report().failed;
  audit.took = std::chrono::duration_cast<milliseconds>(Clock::now() - audit_began_);
  for (const Asker& done : std::exchange(served_, {})) done(audit);
}

void Keeper::retry(Clock::time_point now) {
  if (!mirror_.failing()) {
    pause_ = kFirstRetry;
    next_retry_ = now + pause_;
    return;
  }
  if (now < next_retry_ || mirror_.working()) return;
  ++retries_;
  mirror_.retry();
  pause_ = std::min(pause_ * 2, kLastRetry);
  next_retry_ = now + pause_;
}

SinkCounters Keeper::count() const {
  const NetlinkPort::Count& c = port_.count();
  return {{"kernel_routes_added", c.routes_added},
          {"kernel_routes_replaced", c.routes_replaced},
          {"kernel_routes_removed", c.routes_removed},
          {"kernel_groups_set", c.groups_set},
          {"kernel_nexthops_added", c.nexthops_added},
          {"kernel_nexthops_removed", c.nexthops_removed},
          {"kernel_refused", c.refused},
          {"kernel_retries", retries_},
          {"kernel_audits", audits_},
          {"kernel_audits_incomplete", unsound_},
          {"kernel_news", news_},
          {"kernel_news_lost", overruns_},
          {"kernel_probes", probed_}};
}

// Publishes the state. Not in the midst of repairs: they are told when done.
void Keeper::tell() {
  for (const Restoration& r : mirror_.take_restorations()) {
    observer_.restored(r.prefix, r.cause, r.count);
  }
  SinkReport report = mirror_.report();
  SinkCounters counters = count();
  bool changed = false;
  {
    const std::lock_guard lock(mutex_);
    counters_ = std::move(counters);
    changed = report.failed != report_.failed || report.repaired != report_.repaired ||
              report.installed != report_.installed || report.deviates != report_.deviates;
    report_ = std::move(report);
  }
  if (changed) observer_.changed();
}

}  // namespace dvr::kernel
