#include "lib/checkpoint.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <cstdio>
#include <deque>
#include <mutex>
#include <random>
#include <thread>

#include "lib/delta_journal.h"
#include "lib/fib_image.h"
#include "lib/file.h"

namespace dvr {
namespace {

constexpr std::string_view kBlobMagic{"DVRBLOB\1", 8};
constexpr std::size_t kBlobLimit = 16u << 20;
constexpr std::uint64_t kLongestPause = 1024;  // flushes between tries after errors

std::string new_uuid() {
  std::random_device device;
  ClassId bits;  // 16 bytes with a hex form
  for (auto& b : bits.bytes) b = static_cast<std::uint8_t>(device());
  bits.bytes[6] = static_cast<std::uint8_t>((bits.bytes[6] & 0x0f) | 0x40);
  bits.bytes[8] = static_cast<std::uint8_t>((bits.bytes[8] & 0x3f) | 0x80);
  std::string s = bits.hex();
  for (const std::size_t at : {8u, 13u, 18u, 23u}) s.insert(at, 1, '-');
  return s;
}

bool is_uuid(std::string_view s) {
  if (s.size() != 36) return false;
  for (std::size_t i = 0; i < s.size(); ++i) {
    const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    const bool hex = (s[i] >= '0' && s[i] <= '9') || (s[i] >= 'a' && s[i] <= 'f');
    if (dash ? s[i] != '-' : !hex) return false;
  }
  return true;
}

bool is_blob_name(std::string_view name) {
  return !name.empty() && name.size() <= 64 && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
  });
}

}  // namespace

class StateDirectory::Impl {
 public:
  // What the thread does, in order: replace the checkpoint, append to the journal,
  // or save a blob.
  struct Job {
    enum class Kind : std::uint8_t { kCheckpoint, kJournal, kBlob };
    Kind kind = Kind::kJournal;
    std::string bytes;
    std::string name;  // of the blob
  };

  Impl(std::string directory, const StateOptions& o) : path(std::move(directory)), options(o) {}

  const std::string path;
  const StateOptions options;
  FileDescriptor lock;
  std::string instance;
  std::mutex blob_mutex;

  // The writer's.
  Fib* fib = nullptr;
  DeltaEncoder encoder;
  std::string recorded;     // records not handed over yet
  bool gap = false;         // a delta is not in the journal: only a checkpoint helps
  bool wanted = false;      // a checkpoint was asked for
  std::uint64_t pause = 0;  // flushes to let pass before the next try
  std::uint64_t next_pause = 1;
  std::uint64_t handed_over = 0;  // bytes of journal since the last checkpoint
  bool delta_recorded = false;    // the delta in progress is in the encoder

  // Shared with the thread.
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<Job> jobs;
  std::size_t queued = 0;  // bytes of journal in jobs and in work
  bool busy = false;
  std::size_t queued_blobs = 0;   // their bytes likewise
  std::uint64_t image_bytes = 0;  // of the last checkpoint, 0: unknown
  bool image_queued = false;      // a checkpoint is in jobs or in work: one at a time
  bool stopping = false;
  Status error;         // the first since sync()
  bool failed = false;  // a job failed: the journal has a hole
  std::thread thread;

  // The thread's; load()'s before it starts.
  FileDescriptor journal;
  Digest base;  // checksum of the checkpoint on disk

  [[nodiscard]] std::string file(std::string_view name) const {
    return path + "/" + std::string(name);
  }

  std::string set_aside(const std::string& name, const std::string& why) const {
    const std::string to = file(name + ".damaged");
    if (std::rename(file(name).c_str(), to.c_str()) != 0) return name + ": " + why + " (not moved)";
    return name + ": " + why + "; moved to " + to;
  }

  Status open_directory() {
    if (mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) return io_error("create", path);
    lock = FileDescriptor(::open(file("lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    if (!lock.valid()) return io_error("open", file("lock"));
    if (flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
      if (errno != EWOULDBLOCK) return io_error("lock", file("lock"));
      return {Code::kLocked, path + " is in use by another process"};
    }
    std::optional<std::string> text;
    if (Status s = read_file(file("instance"), &text); !s.ok()) return s;
    if (text && !text->empty() && text->back() == '\n') text->pop_back();
    if (text && is_uuid(*text)) {
      instance = *text;
      return {};
    }
    if (text) static_cast<void>(set_aside("instance", "not a UUID"));
    instance = new_uuid();
    return replace_file(file("instance"), instance + "\n", options.sync);
  }

  Status load(Fib* into, LoadReport* report) {
    std::optional<std::string> image;
    if (Status s = read_file(file("fib.checkpoint"), &image); !s.ok()) return s;
    bool usable = true;
    if (image) {
      if (Status s = load_image(*image, into); s.ok()) {
        report->found = true;
        base = image_checksum(*image);
        image_bytes = image->size();
      } else {
        report->damaged = set_aside("fib.checkpoint", s.message());
        usable = false;
      }
      image.reset();
    }
    std::optional<std::string> bytes;
    if (Status s = read_file(file("fib.journal"), &bytes); !s.ok()) return s;
    if (bytes && usable && continues(*bytes, base)) {
      const Replay replay = replay_journal(*bytes, into);
      report->deltas = replay.deltas;
      report->torn_bytes = bytes->size() - replay.good_bytes;
      if (!replay.error.empty()) {
        // What stands is some table of no position: keep forwarding by it, reconcile.
        report->damaged = set_aside("fib.journal", replay.error);
        wanted = gap = true;
        return {};
      }
      Status writable;
      if (report->torn_bytes > 0 &&
          truncate(file("fib.journal").c_str(), static_cast<off_t>(replay.good_bytes)) != 0) {
        writable = io_error("truncate", file("fib.journal"));
      }
      handed_over = replay.good_bytes;
      if (writable.ok()) writable = open_journal();
      go_on(writable, report);
      return {};
    }
    go_on(new_journal(), report);
    return {};
  }

  // A full or read-only disk is no reason not to forward by what was read:
  // only the next checkpoint makes the directory whole.
  void go_on(const Status& writable, LoadReport* report) {
    if (writable.ok()) return;
    journal.reset();
    report->unwritable = writable.message();
    wanted = gap = true;
  }

  Status open_journal() {
    journal = FileDescriptor(::open(file("fib.journal").c_str(), O_WRONLY | O_APPEND | O_CLOEXEC));
    return journal.valid() ? Status{} : io_error("open", file("fib.journal"));
  }

  // An empty journal for the checkpoint on disk.
  Status new_journal() {
    journal.reset();
    if (Status s = replace_file(file("fib.journal"), journal_header(base), options.sync); !s.ok()) {
      return s;
    }
    return open_journal();
  }

  Status perform(Job& job) {
    if (job.kind == Job::Kind::kBlob) return write_blob(job.name, job.bytes);
    if (job.kind == Job::Kind::kJournal) {
      if (!journal.valid()) return {Code::kIo, "the journal is not open"};
      return write_all(journal.get(), job.bytes, file("fib.journal"));
    }
    seal_image(&job.bytes);
    // The old journal continues the old checkpoint only: between the two
    // renames a start finds the new checkpoint and passes the old journal over.
    if (Status s = replace_file(file("fib.checkpoint"), job.bytes, options.sync); !s.ok()) return s;
    base = image_checksum(job.bytes);
    return new_journal();
  }

  Status sync_journal() {
    if (!options.sync || !journal.valid() || fdatasync(journal.get()) == 0) return {};
    return io_error("fdatasync", file("fib.journal"));
  }

  void run() {
    std::unique_lock guard(mutex);
    bool unsynced = false;
    while (true) {
      changed.wait(guard, [this] { return stopping || !jobs.empty(); });
      if (jobs.empty()) return;
      Job job = std::move(jobs.front());
      jobs.pop_front();
      busy = true;
      const bool checkpoint = job.kind == Job::Kind::kCheckpoint;
      const bool journalled = job.kind == Job::Kind::kJournal;
      const std::size_t size = job.bytes.size();
      // After a failure only a checkpoint makes the directory whole.
      const bool skip = failed && journalled;
      const bool blob = job.kind == Job::Kind::kBlob;
      // On disk the order is that of the calls: deltas before a blob go first.
      const bool sync_after = jobs.empty() || jobs.front().kind == Job::Kind::kBlob;
      guard.unlock();
      Status s = skip ? Status{} : perform(job);
      // A blob that fails leaves no hole: the next one replaces it whole.
      bool hole = !s.ok() && !blob;
      unsynced = journalled || unsynced;
      if (!hole && sync_after && unsynced) {
        Status synced = sync_journal();
        unsynced = false;
        hole = !synced.ok();
        if (s.ok()) s = std::move(synced);
      }
      job = {};
      guard.lock();
      if (checkpoint) failed = image_queued = false;
      failed = failed || hole;
      if (!s.ok() && error.ok()) error = std::move(s);
      if (journalled) queued -= size;
      if (blob) queued_blobs -= size;
      busy = false;
      changed.notify_all();
    }
  }

  // Under the mutex.
  void push(Job job) {
    if (job.kind == Job::Kind::kJournal) queued += job.bytes.size();
    if (job.kind == Job::Kind::kBlob) {
      // Only what nothing else was handed over after may be replaced: the order of blobs and
      // deltas is what save_blob_later promises.
      if (!jobs.empty() && jobs.back().kind == Job::Kind::kBlob && jobs.back().name == job.name) {
        queued_blobs -= jobs.back().bytes.size();
        jobs.pop_back();
      }
      queued_blobs += job.bytes.size();
    }
    jobs.push_back(std::move(job));
    changed.notify_all();
  }

  Status write_blob(std::string_view name, std::string_view value) {
    const std::string to = file(std::string(name) + ".blob");
    const std::lock_guard guard(blob_mutex);
    if (value.empty()) {
      if (unlink(to.c_str()) != 0 && errno != ENOENT) return io_error("remove", to);
      return options.sync ? sync_parent(to) : Status{};
    }
    std::string bytes(kBlobMagic);
    bytes += murmur3(value.data(), value.size()).bytes();
    bytes += value;
    return replace_file(to, bytes, options.sync);
  }

  void lose() {
    gap = true;
    recorded.clear();
    encoder.clear();
    delta_recorded = false;
  }

  bool flush() {
    if (fib == nullptr || fib->in_delta()) return false;
    const Summary summary = fib->summary();
    bool write_checkpoint = false;
    {
      const std::lock_guard guard(mutex);
      if (failed && !gap && !image_queued) {
        gap = true;
        pause = next_pause;
        next_pause = std::min(next_pause * 2, kLongestPause);
      }
      if (queued > options.queue_limit) lose();  // the disk does not keep up
      if (gap) {
        recorded.clear();
      } else if (!recorded.empty()) {
        handed_over += recorded.size();
        push({Job::Kind::kJournal, std::move(recorded), {}});
        recorded.clear();
      }
      if (pause > 0) {
        --pause;
      } else {
        const bool due =
            gap || wanted || handed_over > std::max(options.journal_limit, image_bytes / 6);
        write_checkpoint = due && !summary.partial && !image_queued;
      }
    }
    if (!write_checkpoint) return !gap;
    std::string image = copy_image(*fib);
    const std::lock_guard guard(mutex);
    if (!failed) next_pause = 1;
    failed = false;
    gap = wanted = false;
    handed_over = 0;
    image_queued = true;
    image_bytes = image.size();
    push({Job::Kind::kCheckpoint, std::move(image), {}});
    return true;
  }

  Status wait() {
    std::unique_lock guard(mutex);
    changed.wait(guard, [this] { return jobs.empty() && !busy; });
    return std::exchange(error, Status{});
  }
};

StateDirectory::StateDirectory(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

StateDirectory::~StateDirectory() { close(); }

Status StateDirectory::open(const std::string& path, const StateOptions& options,
                            std::unique_ptr<StateDirectory>* out) {
  auto impl = std::make_unique<Impl>(path, options);
  if (Status s = impl->open_directory(); !s.ok()) return s;
  out->reset(new StateDirectory(std::move(impl)));
  return {};
}

const std::string& StateDirectory::instance() const { return impl_->instance; }

Status StateDirectory::save_blob(std::string_view name, std::string_view value) {
  if (!is_blob_name(name)) return {Code::kInvalid, "a blob cannot have this name"};
  if (value.size() > kBlobLimit) return {Code::kTooLarge, "a blob over 16 MiB"};
  return impl_->write_blob(name, value);
}

Status StateDirectory::save_blob_later(std::string_view name, std::string value) {
  Impl& d = *impl_;
  if (!d.thread.joinable()) return save_blob(name, value);
  if (!is_blob_name(name)) return {Code::kInvalid, "a blob cannot have this name"};
  if (value.size() > kBlobLimit) return {Code::kTooLarge, "a blob over 16 MiB"};
  std::unique_lock guard(d.mutex);
  // Whoever saves faster than the disk takes it waits for the disk.
  d.changed.wait(guard, [&d] { return d.queued_blobs <= d.options.queue_limit; });
  d.push({Impl::Job::Kind::kBlob, std::move(value), std::string(name)});
  return {};
}

std::optional<std::string> StateDirectory::load_blob(std::string_view name) {
  if (!is_blob_name(name)) return std::nullopt;
  const std::string file = std::string(name) + ".blob";
  const std::lock_guard guard(impl_->blob_mutex);
  std::optional<std::string> bytes;
  if (!read_file(impl_->file(file), &bytes).ok() || !bytes) return std::nullopt;
  constexpr std::size_t kHeader = kBlobMagic.size() + 16;
  if (bytes->size() > kHeader && bytes->starts_with(kBlobMagic)) {
    std::string value = bytes->substr(kHeader);
    if (murmur3(value.data(), value.size()).bytes() == bytes->substr(kBlobMagic.size(), 16)) {
      return value;
    }
  }
  static_cast<void>(impl_->set_aside(file, "wrong checksum"));
  return std::nullopt;
}

Status StateDirectory::load(Fib* fib, LoadReport* report) {
  *report = {};
  return impl_->load(fib, report);
}

void StateDirectory::attach(Fib* fib) {
  Impl& d = *impl_;
  d.fib = fib;
  fib->set_recorder(this);
  if (!d.journal.valid()) d.gap = true;  // load() was not called, or failed
  if (!d.thread.joinable()) d.thread = std::thread([&d] { d.run(); });
}

void StateDirectory::detach() {
  if (impl_->fib == nullptr) return;
  impl_->fib->set_recorder(nullptr);
  impl_->fib = nullptr;
}

bool StateDirectory::flush() { return impl_->flush(); }

Status StateDirectory::sync() { return impl_->wait(); }

Status StateDirectory::error() {
  const std::lock_guard guard(impl_->mutex);
  return std::exchange(impl_->error, Status{});
}

void StateDirectory::request_checkpoint() { impl_->wanted = true; }

void StateDirectory::close() {
  Impl& d = *impl_;
  d.pause = 0;  // the last chance: not the time to wait for a better one
  d.flush();
  detach();
  if (d.thread.joinable()) {
    {
      const std::lock_guard guard(d.mutex);
      d.stopping = true;
      d.changed.notify_all();
    }
    d.thread.join();
  }
  d.journal.reset();
  d.lock.reset();
}

void StateDirectory::begun(DeltaKind kind, const BucketBitmap* buckets) {
  impl_->delta_recorded = !impl_->gap;
  if (impl_->delta_recorded) impl_->encoder.begin(kind, buckets);
}

void StateDirectory::class_defined(std::uint32_t index, const ClassId& id, std::uint32_t local) {
  if (impl_->delta_recorded) impl_->encoder.define_class(index, id, local);
}

void StateDirectory::group_set(std::uint32_t index, std::span<const NextHop> hops) {
  if (impl_->delta_recorded) impl_->encoder.set_group(index, hops);
}

void StateDirectory::set(const Columns& c) {
  if (!impl_->delta_recorded) return;
  impl_->encoder.set(c);
  if (impl_->encoder.size() > impl_->options.delta_limit) impl_->lose();
}

void StateDirectory::removed(const Columns& c) {
  if (!impl_->delta_recorded) return;
  impl_->encoder.remove(c);
  if (impl_->encoder.size() > impl_->options.delta_limit) impl_->lose();
}

void StateDirectory::withdrawn(const ClassId& id) {
  if (impl_->delta_recorded) impl_->encoder.withdraw(id);
}

void StateDirectory::ended(const Position& p, std::string_view epoch_nonce, const Digest& d) {
  if (!impl_->delta_recorded) return;
  impl_->delta_recorded = false;
  impl_->encoder.end(p, epoch_nonce, d);
  impl_->recorded += impl_->encoder.take();
  // Nobody flushes: keep memory bounded all the same.
  if (impl_->recorded.size() > impl_->options.queue_limit) impl_->lose();
}

void StateDirectory::aborted() { impl_->lose(); }

}  // namespace dvr
