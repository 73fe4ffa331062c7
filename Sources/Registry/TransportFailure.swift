// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import AsyncHTTPClient
import NIOCore
import NIOPosix
import NIOSSL

/// Why an HTTP exchange did not end with an answer.
struct TransportFailure: Error, Sendable {
    enum Kind: Sendable {
        /// No connection: the name does not resolve, nobody listens, no route.
        case connect
        /// The peer does not speak TLS.
        case notTLS
        /// The peer speaks TLS, but is not trusted, or the TLS settings are unusable.
        case tls
        /// The connection ended in the middle.
        case lost
        case timeout
    }

    let kind: Kind
    let reason: String

    static func timeout(_ limit: Duration) -> TransportFailure {
        TransportFailure(kind: .timeout, reason: "no answer within \(limit.inSeconds)")
    }

    static func stalled(_ limit: Duration) -> TransportFailure {
        TransportFailure(kind: .timeout, reason: "no data for \(limit.inSeconds)")
    }
}

extension TransportFailure {
    /// Sorts the errors of the HTTP client and of NIO.
    init(sorting error: any Error) {
        switch error {
        case let failure as TransportFailure: self = failure
        case let error as HTTPClientError: self.init(httpClient: error)
        case let error as NIOConnectionError: self.init(connection: error)
        case let error as NIOSSLError: self.init(tls: error)
        case let error as NIOSSLExtraError: self.init(kind: .tls, reason: "\(error)")
        case let error as BoringSSLError: self.init(handshake: "\(error)")
        case let error as IOError: self.init(io: error)
        case is SocketAddressError.UnknownHost: self.init(kind: .connect, reason: "the host name does not resolve")
        case ChannelError.connectTimeout: self.init(kind: .connect, reason: "the connection timed out")
        default: self.init(kind: .lost, reason: "the connection broke (\(error))")
        }
    }

    private init(httpClient error: HTTPClientError) {
        switch error {
        case .connectTimeout: self.init(kind: .connect, reason: "the connection timed out")
        case .tlsHandshakeTimeout: self.init(kind: .notTLS, reason: "the TLS handshake timed out")
        case .invalidProxyResponse:
            self.init(
                kind: .connect,
                reason: "the proxy opened no connection: it must allow CONNECT, for plain http to port 80 too"
            )
        case .proxyAuthenticationRequired:
            self.init(kind: .connect, reason: "the proxy demands a user and a password in its address")
        case .remoteConnectionClosed, .uncleanShutdown, .requestStreamCancelled:
            self.init(kind: .lost, reason: "the connection was closed")
        default: self.init(kind: .lost, reason: error.shortDescription)
        }
    }

    private init(connection error: NIOConnectionError) {
        if let io = error.connectionErrors.lazy.compactMap({ $0.error as? IOError }).first {
            self.init(io: io)
        } else if error.connectionErrors.isEmpty {
            self.init(kind: .connect, reason: "the host name does not resolve")
        } else {
            self.init(kind: .connect, reason: "the connection timed out")
        }
    }

    private init(io error: IOError) {
        switch error.errnoCode {
        case 111: self.init(kind: .connect, reason: "connection refused")
        case 113: self.init(kind: .connect, reason: "no route to host")
        case 101: self.init(kind: .connect, reason: "network is unreachable")
        case 110: self.init(kind: .connect, reason: "the connection timed out")
        default: self.init(kind: .lost, reason: "the connection was reset")
        }
    }

    private init(tls error: NIOSSLError) {
        switch error {
        case .handshakeFailed(let cause): self.init(handshake: "\(cause)")
        case .uncleanShutdown: self.init(kind: .lost, reason: "the connection was closed")
        case .failedToLoadCertificate: self.init(kind: .tls, reason: "a certificate file cannot be read")
        case .failedToLoadPrivateKey: self.init(kind: .tls, reason: "a private key file cannot be read")
        default: self.init(kind: .tls, reason: "\(error)")
        }
    }

    private init(handshake text: String) {
        let notTLS = [
            "WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNEXPECTED_MESSAGE", "UNEXPECTED_RECORD", "EOF", "syscall",
        ]
        if text.contains("CERTIFICATE_VERIFY_FAILED") {
            self.init(kind: .tls, reason: "its certificate is not signed by a trusted authority, or not for this host")
        } else if notTLS.contains(where: text.contains) {
            self.init(kind: .notTLS, reason: "it does not speak TLS")
        } else {
            self.init(kind: .tls, reason: sanitised(text, limit: 200))
        }
    }
}

extension Duration {
    /// `2.5 s`, for messages.
    var inSeconds: String {
        let tenths = (components.seconds * 10) + components.attoseconds / 100_000_000_000_000_000
        return tenths % 10 == 0 ? "\(tenths / 10) s" : "\(tenths / 10).\(tenths % 10) s"
    }
}
