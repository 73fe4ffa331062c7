// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Foundation
import Glibc
import LinuxSystem
import Synchronization

/// A loopback port that leads to another one, and whose connections can be cut after some bytes.
final class CuttingProxy: Sendable {
    private struct State {
        /// Bytes that each new connection may still carry to the client; nil for all.
        var allowance: Int?
        var open: Set<CInt> = []
        var isClosed = false
    }

    private final class Shared: Sendable {
        let state = Mutex(State())
    }

    let host: String
    private let listener: LoopbackListener
    private let shared = Shared()

    /// - Parameter target: a port of this machine.
    init(to target: UInt16) throws {
        listener = try LoopbackListener()
        host = "127.0.0.1:\(listener.port)"
        let (listener, shared) = (listener, shared)
        Thread.detachNewThread {
            while true {
                let client = accept(listener.descriptor, nil, nil)
                guard client >= 0 else { return }
                _ = fcntl(client, F_SETFD, FD_CLOEXEC)
                Self.join(client, target, shared)
            }
        }
    }

    deinit {
        shared.state.withLock { state in
            state.isClosed = true
            for connection in state.open { shutdown(connection, Int32(SHUT_RDWR)) }
        }
        listener.close()
    }

    /// New connections end after so many bytes of answers; nil lets all through.
    func cut(after bytes: Int?) { shared.state.withLock { $0.allowance = bytes } }

    private static func join(_ client: CInt, _ target: UInt16, _ shared: Shared) {
        let server = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = in_addr_t(0x7f00_0001).bigEndian
        address.sin_port = target.bigEndian
        let connected = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(server, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
            }
        }
        let allowance: Int?? = shared.state.withLock { state in
            guard connected, !state.isClosed else { return .none }
            state.open.formUnion([client, server])
            return .some(state.allowance)
        }
        guard let allowance else {
            close(client)
            close(server)
            return
        }
        let ended = EndOfBoth()
        let finish: @Sendable () -> Void = {
            shutdown(client, Int32(SHUT_RDWR))
            shutdown(server, Int32(SHUT_RDWR))
            guard ended.isSecond() else { return }
            shared.state.withLock { $0.open.subtract([client, server]) }
            close(client)
            close(server)
        }
        Thread.detachNewThread {
            pump(client, server, nil)
            finish()
        }
        Thread.detachNewThread {
            pump(server, client, allowance)
            finish()
        }
    }

    private static func pump(_ from: CInt, _ to: CInt, _ allowance: Int?) {
        var left = allowance ?? .max
        var buffer = [UInt8](repeating: 0, count: 1 << 14)
        while left > 0 {
            let count = recv(from, &buffer, min(buffer.count, left), 0)
            guard count > 0 else { return }
            left -= count
            var sent = 0
            while sent < count {
                let written = buffer.withUnsafeBytes {
                    send(to, $0.baseAddress?.advanced(by: sent), count - sent, Int32(MSG_NOSIGNAL))
                }
                guard written > 0 else { return }
                sent += written
            }
        }
    }

    /// Tells the second of two callers from the first.
    private final class EndOfBoth: Sendable {
        private let calls = Mutex(0)
        func isSecond() -> Bool {
            calls.withLock { calls in
                calls += 1
                return calls == 2
            }
        }
    }
}
