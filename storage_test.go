package main

import "testing"

// Only endpoints of AWS, also of the one in China, need no keys.
func TestIsAWS(t *testing.T) {
	for endpoint, want := range map[string]bool{
		"": true, "https://s3.eu-west-1.amazonaws.com": true, "https://s3.cn-north-1.amazonaws.com.cn:443": true,
		"https://minio.example": false, "https://amazonaws.com.example": false, "https://s3.example.cn": false, "%": false,
	} {
		if got := isAWS(endpoint); got != want {
			t.Errorf("%q: %t, want %t", endpoint, got, want)
		}
	}
}
