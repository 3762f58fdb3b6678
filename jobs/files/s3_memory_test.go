package files_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"testing"

	"coatcheck/jobs/files"
)

// A large file is never in memory as a whole.
func TestS3Memory(t *testing.T) {
	var received int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		query := r.URL.Query()
		n, err := io.Copy(io.Discard, r.Body)
		if err != nil {
			t.Error(err)
		}
		switch {
		case r.Method == http.MethodGet && query.Has("list-type"):
			io.WriteString(w, "<ListBucketResult></ListBucketResult>")
		case r.Method == http.MethodGet:
			w.Header().Set("Last-Modified", "Mon, 02 Jan 2006 15:04:05 GMT")
			io.WriteString(w, "test")
		case query.Has("uploads"):
			const name = "InitiateMultipartUploadResult"
			fmt.Fprintf(w, "<%s><UploadId>1</UploadId></%[1]s>", name)
		case query.Has("partNumber"):
			received += n
			w.Header().Set("ETag", fmt.Sprintf("%q", query.Get("partNumber")))
		default:
			const name = "CompleteMultipartUploadResult"
			fmt.Fprintf(w, "<%s><Bucket>files</Bucket><ETag>x</ETag></%[1]s>", name)
		}
	}))
	defer server.Close()
	s := openS3(t, files.S3Config{
		Endpoint: server.URL, Bucket: "files", Region: "us-east-1", AccessKey: "a", SecretKey: "s",
	}, roomy)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	const size = 100 << 20
	file, err := s.Save(t.Context(), newJob(t), "x", "", zeros(size))
	if err != nil || file.Bytes != size || received != size {
		t.Fatalf("%+v, %v, received %d", file, err, received)
	}
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > 40<<20 {
		t.Errorf("allocated %d MiB for a file of %d MiB", got>>20, size>>20)
	}
}
