// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Glibc
public import LinuxSystem

/// The bytes of a secret. Nothing that describes this value shows them.
public struct SecretValue: Sendable, CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    /// The secret itself.
    public let exposed: [UInt8]

    /// - Throws: when there are more bytes than BuildKit takes.
    public init(_ bytes: [UInt8], of id: String) throws(BuildOpsError) {
        guard bytes.count <= Self.limit else { throw Self.tooBig(id) }
        exposed = bytes
    }

    /// As in BuildKit.
    static let limit = 500 << 10

    static func tooBig(_ id: String) -> BuildOpsError {
        BuildOpsError(.invalidRequest, "secret \(id) too big. max size 500KiB")
    }

    public var description: String { "<redacted>" }
    public var debugDescription: String { description }
    public var customMirror: Mirror { Mirror(self, children: []) }
}

/// The secrets of a build request.
public protocol BuildSecrets: Sendable {
    /// Nil when the request has none of this name.
    func secret(_ id: String) async throws -> SecretValue?
}

/// Where a secret comes from.
public struct SecretSource: Sendable {
    public enum Origin: Sendable {
        case file(RawPath)
        case value(SecretValue)
    }

    public var id: String
    public var origin: Origin

    public init(id: String, origin: Origin) {
        self.id = id
        self.origin = origin
    }
}

/// Secrets of files and variables. A file is read once, when a step first wants it: it may be a pipe.
public final class SecretFiles: BuildSecrets {
    private let secrets: [String: (source: SecretSource, memo: OnceTask<SecretValue>)]

    /// The last source of an id counts.
    ///
    /// - Throws: `BuildOpsError` when a file is missing or too big.
    public init(_ sources: [SecretSource]) throws {
        var secrets: [String: (source: SecretSource, memo: OnceTask<SecretValue>)] = [:]
        for source in sources {
            if case .file(let path) = source.origin { try Self.check(path, source.id) }
            secrets[source.id] = (source, OnceTask())
        }
        self.secrets = secrets
    }

    private static func check(_ path: RawPath, _ id: String) throws {
        do throws(SystemError) {
            let status = try status(at: workingDirectory, path, following: true)
            if status.kind == .directory { throw SystemError(errno: EISDIR, operation: "read", path: path.description) }
            guard status.size <= SecretValue.limit else { throw SystemError(errno: EFBIG, operation: "read") }
        } catch {
            if error.errno == EFBIG { throw SecretValue.tooBig(id) }
            throw unreadable(path, id, error)
        }
    }

    private static func unreadable(_ path: RawPath, _ id: String, _ error: SystemError) -> BuildOpsError {
        BuildOpsError(
            .invalidRequest,
            "secret \(id): failed to read \(path): \(error.reason)",
            nextStep:
                "give a file or a variable that exists: --secret id=\(id),src=FILE or --secret id=\(id),env=VARIABLE"
        )
    }

    public func secret(_ id: String) async throws -> SecretValue? {
        guard let (source, memo) = secrets[id] else { return nil }
        return try await memo.value {
            switch source.origin {
            case .value(let value): return value
            case .file(let path): return try await cancellableBlocking { try Self.read(path, id, $0) }
            }
        }
    }

    private static func read(_ path: RawPath, _ id: String, _ cancellation: CancellationFlag) throws -> SecretValue {
        do {
            return try SecretValue(readFile(path, limit: SecretValue.limit, cancellation), of: id)
        } catch let error as SystemError {
            throw error.errno == EFBIG ? SecretValue.tooBig(id) : unreadable(path, id, error)
        }
    }
}
