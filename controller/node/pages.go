package node

import (
	"net/http"

	"dvr/controller/httpapi"
)

// pages are several, of which the first that has a path answers.
type pages []httpapi.Pages

// Serve implements httpapi.Pages.
func (p pages) Serve(w http.ResponseWriter, r *http.Request) bool {
	for _, each := range p {
		if each.Serve(w, r) {
			return true
		}
	}
	return false
}
