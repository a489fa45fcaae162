#include "stream/audit.h"

#include <memory>
#include <mutex>
#include <utility>

namespace dvr::stream {
namespace {

namespace pb = dvr::fib::v1;

// Collects what the sinks answer, in whatever order; the last one's answer completes it.
class Gathering {
 public:
  Gathering(std::size_t answers, std::function<void(const pb::AuditReport&)> done)
      : left_(answers), done_(std::move(done)) {}

  // audit is null: this one has nothing to say.
  void add(const std::string& name, const SinkAudit* audit) {
    {
      const std::lock_guard lock(mutex_);
      if (audit != nullptr) put(name, *audit);
      if (--left_ > 0) return;
    }
    done_(report_);
  }

 private:
  void put(const std::string& name, const SinkAudit& audit) {
    pb::SinkAudit* const to = report_.add_sinks();
    to->set_name(name);
    to->set_complete(audit.complete);
    to->set_entries(audit.entries);
    to->set_failed(audit.failed);
    to->set_took_ms(static_cast<std::uint64_t>(audit.took.count()));
    for (const SinkAudit::Difference& d : audit.differences) {
      auto* const difference = to->add_differences();
      difference->set_prefix(d.prefix);
      difference->set_cause(d.cause);
      difference->set_count(d.count);
    }
  }

  std::mutex mutex_;
  std::size_t left_;
  pb::AuditReport report_;  // nobody writes to it once left_ is 0
  const std::function<void(const pb::AuditReport&)> done_;
};

}  // namespace

void audit_sinks(const std::vector<Sink*>& sinks,
                 std::function<void(const pb::AuditReport&)> done) {
  // One answer is this function's own: done is not called before every sink was asked.
  const auto gathering = std::make_shared<Gathering>(sinks.size() + 1, std::move(done));
  for (Sink* const sink : sinks) {
    const bool asked = sink->audit(
        [gathering, name = sink->name()](const SinkAudit& audit) { gathering->add(name, &audit); });
    if (!asked) gathering->add("", nullptr);
  }
  gathering->add("", nullptr);
}

}  // namespace dvr::stream
