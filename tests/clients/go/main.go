// SPDX-License-Identifier: MIT OR Apache-2.0
// What crypto11 and miekg/pkcs11 do with a token, checked with Go's own crypto.
//
//	main MODULE TOKEN KEY CERTIFICATE SERVER CA
package main

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"

	"github.com/ThalesIgnite/crypto11"
)

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func sign(key crypto.Signer) {
	digest := sha256.Sum256([]byte("a message"))
	signature, err := key.Sign(rand.Reader, digest[:], crypto.SHA256)
	check(err)
	if !ecdsa.VerifyASN1(key.Public().(*ecdsa.PublicKey), digest[:], signature) {
		log.Fatal("the signature is wrong")
	}
}

func request(key crypto.Signer) {
	template := x509.CertificateRequest{Subject: pkix.Name{CommonName: "go"}}
	der, err := x509.CreateCertificateRequest(rand.Reader, &template, key)
	check(err)
	csr, err := x509.ParseCertificateRequest(der)
	check(err)
	check(csr.CheckSignature())
}

func get(key crypto.Signer, certificateFile, server, caFile string) {
	ca, err := os.ReadFile(caFile)
	check(err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	file, err := os.ReadFile(certificateFile)
	check(err)
	block, _ := pem.Decode(file)
	own := tls.Certificate{Certificate: [][]byte{block.Bytes}, PrivateKey: key}
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		config := &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{own}, MinVersion: version, MaxVersion: version}
		client := http.Client{Transport: &http.Transport{TLSClientConfig: config}}
		response, err := client.Get(server)
		check(err)
		body, err := io.ReadAll(response.Body)
		check(err)
		if !bytes.Contains(body, []byte("device-001")) {
			log.Fatal("the server saw another certificate")
		}
	}
}

func main() {
	module, token, label := os.Args[1], os.Args[2], os.Args[3]
	context, err := crypto11.Configure(&crypto11.Config{Path: module, TokenLabel: token, Pin: "1234"})
	check(err)
	key, err := context.FindKeyPair(nil, []byte(label))
	check(err)
	if key == nil {
		log.Fatal("no key pair of that label")
	}
	sign(key)
	request(key)
	get(key, os.Args[4], os.Args[5], os.Args[6])

	made, err := context.GenerateECDSAKeyPairWithLabel([]byte{0x88}, []byte("made by go"), elliptic.P256())
	check(err)
	sign(made)
	check(made.Delete())
	gone, err := context.FindKeyPair([]byte{0x88}, nil)
	check(err)
	if gone != nil {
		log.Fatal("the deleted key is still there")
	}
	random, err := context.NewRandomReader()
	check(err)
	_, err = io.ReadFull(random, make([]byte, 40))
	check(err)
	check(context.Close())
	fmt.Println("crypto11: done")
}
