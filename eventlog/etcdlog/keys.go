package etcdlog

import (
	"fmt"
	"strconv"
	"strings"

	"dvr/eventlog"
)

const (
	metaKey     = "/dvr/meta"
	logPrefix   = "/dvr/log/"
	headKey     = "/dvr/log/head"
	lowKey      = "/dvr/log/low"
	batchPrefix = "/dvr/log/b/"
	stagePrefix = "/dvr/stage/"
	snapPrefix  = "/dvr/snap/"

	revisionDigits = 20
	partDigits     = 6
	manifestName   = "manifest"
)

func batchKey(last eventlog.Revision) string {
	return fmt.Sprintf("%s%0*d", batchPrefix, revisionDigits, uint64(last))
}

// batchRevision reads the revision in a batch key; false for any other key.
func batchRevision(key string) (eventlog.Revision, bool) {
	digits, ok := strings.CutPrefix(key, batchPrefix)
	if !ok {
		return 0, false
	}
	n, ok := fixed(digits, revisionDigits)
	return eventlog.Revision(n), ok && n > 0
}

func stageDir(id string) string { return stagePrefix + id + "/" }

// stageID reads the id in a key below stagePrefix; ids may hold slashes.
func stageID(key string) (string, bool) {
	rest, ok := strings.CutPrefix(key, stagePrefix)
	if !ok {
		return "", false
	}
	i := strings.LastIndexByte(rest, '/')
	if i <= 0 {
		return "", false
	}
	return rest[:i], true
}

func snapDir(revision eventlog.Revision, nonce string) string {
	return fmt.Sprintf("%s%0*d-%s/", snapPrefix, revisionDigits, uint64(revision), nonce)
}

// snapName reads directory, revision and nonce in a key below snapPrefix.
func snapName(key string) (dir string, revision eventlog.Revision, nonce string, ok bool) {
	rest, ok := strings.CutPrefix(key, snapPrefix)
	if !ok {
		return "", 0, "", false
	}
	name, _, ok := strings.Cut(rest, "/")
	if !ok {
		return "", 0, "", false
	}
	digits, nonce, ok := strings.Cut(name, "-")
	if !ok {
		return "", 0, "", false
	}
	n, ok := fixed(digits, revisionDigits)
	return snapPrefix + name + "/", eventlog.Revision(n), nonce, ok
}

func partKey(dir string, part int) string { return fmt.Sprintf("%s%0*d", dir, partDigits, part) }

// dirEnd is the first key behind all keys of a directory ("…/").
func dirEnd(dir string) string { return dir[:len(dir)-1] + "0" }

func fixed(digits string, width int) (uint64, bool) {
	if len(digits) != width {
		return 0, false
	}
	for i := range len(digits) {
		if digits[i] < '0' || digits[i] > '9' {
			return 0, false
		}
	}
	n, err := strconv.ParseUint(digits, 10, 64)
	return n, err == nil
}
