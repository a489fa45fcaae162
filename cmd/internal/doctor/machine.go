package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"dvr/controller/settings"
)

// limits looks at open files, memory and processors.
func limits(s *settings.Settings) []Finding {
	var list []Finding
	var files unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &files); err != nil {
		list = append(list, Finding{"open files", Warn, err.Error(), ""})
	} else {
		list = append(list, openFiles(uint64(files.Max))) // Go raises the soft limit to the hard one
	}
	meminfo, _ := os.ReadFile("/proc/meminfo")
	most, _ := os.ReadFile("/sys/fs/cgroup/memory.max")
	return append(list, memory(totalMemory(string(meminfo), string(most)), s.MemoryLimit), processors(runtime.GOMAXPROCS(0)))
}

// openFiles judges the hard limit.
func openFiles(most uint64) Finding {
	f := Finding{Check: "open files", Found: strconv.FormatUint(most, 10) + " at most"}
	if most == unix.RLIM_INFINITY {
		f.Found = "no limit"
	}
	switch {
	case most < 256:
		f.Level, f.Advice = Fail, "etcd alone needs more: LimitNOFILE=65536 in the unit, or ulimit -n"
	case most < 8192:
		f.Level, f.Advice = Warn, "each client, watch and data plane takes one: LimitNOFILE=65536 in the unit, or ulimit -n"
	}
	return f
}

// totalMemory is the machine's in bytes, or the control group's where that is
// less; 0: not known.
func totalMemory(meminfo, group string) int64 {
	var total int64
	for line := range strings.Lines(meminfo) {
		if rest, ok := strings.CutPrefix(line, "MemTotal:"); ok {
			kib, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			total = kib << 10
		}
	}
	if n, err := strconv.ParseInt(strings.TrimSpace(group), 10, 64); err == nil && n > 0 && (n < total || total == 0) {
		total = n
	}
	return total
}

// memory judges the total and the limit that was set (0: none).
func memory(total, limit int64) Finding {
	f := Finding{Check: "memory", Found: amount(total) + " in all"}
	switch {
	case total == 0:
		f.Level, f.Found, f.Advice = Warn, "not known", "set MEMORY_LIMIT"
	case limit > total:
		f.Level, f.Advice = Fail, "MEMORY_LIMIT ("+amount(limit)+") is more than there is: the system would end the node before it saves memory"
	case total < 512<<20:
		f.Level, f.Advice = Warn, "enough for some ten thousand routes; a full Internet table takes 1.2 GiB at its peak"
	case total < 2<<30:
		f.Level, f.Advice = Warn, "tight for a full Internet table, which takes 1.2 GiB at its peak"
	}
	return f
}

func processors(n int) Finding {
	f := Finding{Check: "processors", Found: strconv.Itoa(n)}
	if n < 2 {
		f.Level, f.Advice = Warn, "elections and heartbeats share the one with everything else: give it two"
	}
	return f
}

// kernel looks at what a data plane with the kernel sink wants; without one none of it matters.
func kernel() Finding {
	var u unix.Utsname
	_ = unix.Uname(&u)
	read := func(path string) (string, bool) {
		raw, err := os.ReadFile(path)
		return strings.TrimSpace(string(raw)), !errors.Is(err, fs.ErrNotExist)
	}
	compat, objects := read("/proc/sys/net/ipv4/nexthop_compat_mode")
	four, _ := read("/proc/sys/net/ipv4/ip_forward")
	six, _ := read("/proc/sys/net/ipv6/conf/all/forwarding")
	status, _ := os.ReadFile("/proc/self/status")
	return kernelState(unix.ByteSliceToString(u.Release[:]), objects, compat, four, six, mayAdminister(string(status)))
}

// capNetAdmin is the number of CAP_NET_ADMIN.
const capNetAdmin = 12

// mayAdminister reads CAP_NET_ADMIN from /proc/self/status.
func mayAdminister(status string) bool {
	for line := range strings.Lines(status) {
		if rest, ok := strings.CutPrefix(line, "CapEff:"); ok {
			set, _ := strconv.ParseUint(strings.TrimSpace(rest), 16, 64)
			return set&(1<<capNetAdmin) != 0
		}
	}
	return false
}

// kernelState judges; the values are the sysctls'.
func kernelState(release string, objects bool, compat, four, six string, admin bool) Finding {
	f := Finding{Check: "kernel sink", Found: "Linux " + release}
	var missing, advice []string
	if !objects {
		missing, advice = append(missing, "no next-hop objects"), append(advice, "take a kernel from 5.3 on with IPv4 and IPv6")
	} else if compat != "0" {
		missing, advice = append(missing, "nexthop_compat_mode is on"), append(advice, "dvr-dataplane --tune-kernel")
	}
	if !admin {
		missing, advice = append(missing, "no CAP_NET_ADMIN"), append(advice, "run the data plane with it")
	}
	if four != "1" || six != "1" {
		missing, advice = append(missing, "forwarding is off"), append(advice, "sysctl net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1")
	}
	if len(missing) > 0 {
		f.Level = Warn
		f.Found += ": " + strings.Join(missing, ", ")
		f.Advice = fmt.Sprintf("only for --sink kernel: %s", strings.Join(advice, "; "))
	}
	return f
}
