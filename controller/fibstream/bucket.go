package fibstream

import (
	"net/netip"

	"dvr/controller/fibstream/itemhash"
)

// bucketOf is the bucket of a prefix of the default VRF, the only one served.
func bucketOf(p netip.Prefix) int { return itemhash.Bucket(p, "") }
