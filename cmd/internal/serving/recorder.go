// SPDX-License-Identifier: EUPL-1.2

package serving

import "net/http"

// Recorder remembers the status of an answer.
type Recorder struct {
	http.ResponseWriter
	Status int // 0: nothing was answered
}

// WriteHeader is http.ResponseWriter's.
func (w *Recorder) WriteHeader(status int) {
	if w.Status == 0 {
		w.Status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write is http.ResponseWriter's.
func (w *Recorder) Write(b []byte) (int, error) {
	if w.Status == 0 {
		w.Status = http.StatusOK
	}
	return w.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (w *Recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }
