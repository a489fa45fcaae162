package launcher

import (
	"fmt"
	"regexp"
)

// nodeID is what a node, a directory, a URL path and a router have in common.
var nodeID = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)

// checkID is the only gate through which ids come in: no other one may become
// a path.
func checkID(id string) error {
	if !nodeID.MatchString(id) {
		return fmt.Errorf("%w: %q: a letter or digit, then up to 62 letters, digits or dashes, lower case", ErrBadID, id)
	}
	return nil
}
