package fibstream

import (
	"regexp"
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"dvr/controller/fibpb"
)

// What this controller speaks.
const (
	protocol      = 1
	digestVersion = 1
	digestBytes   = 16
	bucketCount   = 1024
)

// Bounds on what a Hello may carry.
const (
	maxInstance = 64
	maxSinks    = 16
	maxName     = 63
	maxVersion  = 128
	maxFeatures = 64
	maxLogID    = 64
)

var routerName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)

// checkHello refuses what cannot be served, with a message that says what to do.
func checkHello(h *fibpb.Hello) error {
	switch {
	case h.GetProtocol() != protocol:
		return status.Errorf(codes.FailedPrecondition,
			"the data plane speaks FIB protocol %d, this controller %d: update the older of the two", h.GetProtocol(), protocol)
	case !slices.Contains(h.GetDigestVersions(), digestVersion):
		return status.Errorf(codes.FailedPrecondition,
			"the data plane offers digest versions %v, this controller has %d: update the older of the two", h.GetDigestVersions(), digestVersion)
	case !routerName.MatchString(h.GetRouter()):
		return invalid("router: must be 1 to 63 letters, digits, '.', '_' or '-', the first a letter or digit")
	case !printable(h.GetInstance(), maxInstance):
		return invalid("instance: must be 1 to %d printable characters", maxInstance)
	case len(h.GetDigest()) != 0 && len(h.GetDigest()) != digestBytes:
		return invalid("digest: has %d bytes, must have %d", len(h.GetDigest()), digestBytes)
	case len(h.GetEpochNonce()) != 0 && len(h.GetEpochNonce()) != 16:
		return invalid("epoch_nonce: has %d bytes, must have 16", len(h.GetEpochNonce()))
	case len(h.GetBuckets()) != 0 && len(h.GetBuckets()) != bucketCount*digestBytes:
		return invalid("buckets: has %d bytes, must have %d", len(h.GetBuckets()), bucketCount*digestBytes)
	case len(h.GetSinks()) > maxSinks:
		return invalid("sinks: %d are too many", len(h.GetSinks()))
	case len(h.GetVersion()) > maxVersion || len(h.GetFeatures()) > maxFeatures || len(h.GetDigestVersions()) > maxFeatures:
		return invalid("version or features: too long")
	case len(h.GetPosition().GetLogId()) > maxLogID:
		return invalid("position.log_id: too long")
	}
	for _, s := range h.GetSinks() {
		if !printable(s, maxName) {
			return invalid("sinks: a name must be 1 to %d printable characters", maxName)
		}
	}
	return nil
}

func printable(s string, limit int) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return s != "" && len(s) <= limit
}
