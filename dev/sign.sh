# SPDX-License-Identifier: GPL-2.0
# Included by what signs images of the kernel, by the key that the kernel's build made.
# shellcheck shell=bash

# sign_image CERTS IMAGE OUT: CERTS is that directory of the build. Kernels of it trust
# the key.
sign_image() {
	sbsign --key "$1/signing_key.pem" --cert <(openssl x509 -inform DER -in "$1/signing_key.x509") --output "$3" "$2"
}
