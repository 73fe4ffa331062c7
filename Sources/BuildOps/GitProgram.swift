// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Glibc
import LinuxSystem
import OCI

/// Runs git: without the user's and the machine's settings, without prompts, without hooks, and with all that it starts
/// in a sandbox of processes that ends with it.
struct GitProgram: Sendable {
    /// Why git could not do what was asked.
    struct Failure: Error, CustomStringConvertible {
        /// What git wrote, without what it must not show.
        var message: String
        var description: String { message }
    }

    private static let outputLimit = 64 << 20
    private static let messageLimit = 64 << 10
    private static let readers = BlockingPool(limit: 4096)

    private let path: String
    private var environment: [String: String]
    /// Texts that no message may hold.
    private var secrets: [String] = []
    /// Gets what git says about its work.
    var log: (@Sendable ([UInt8]) -> Void)?

    /// - Parameters:
    ///   - settings: a git configuration file, the only one that is read.
    ///   - environment: of this process.
    init(settings: RawPath, environment outer: [String: String]) throws {
        let directories = (outer["PATH"] ?? "/usr/local/bin:/usr/bin:/bin").split(separator: ":")
        let candidates: [String] = directories.map { "\($0)/git" }
        guard let path = candidates.first(where: { access($0, X_OK) == 0 }) else {
            throw BuildOpsError(
                .invalidRequest,
                "git was not found in PATH, and a git repository is needed",
                nextStep: "install it, on Debian and Ubuntu with: apt-get install git"
            )
        }
        self.path = path
        environment = [
            "LC_ALL": "C", "HOME": "/nonexistent", "GIT_TERMINAL_PROMPT": "0", "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": settings.description, "GIT_ATTR_NOSYSTEM": "1", "GIT_SSH_VARIANT": "ssh",
        ]
        let passed = [
            "PATH", "SSL_CERT_FILE", "SSL_CERT_DIR", "GIT_SSL_CAINFO", "GIT_SSL_CAPATH", "HTTP_PROXY", "HTTPS_PROXY",
            "NO_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "no_proxy", "all_proxy",
        ]
        for name in passed { environment[name] = outer[name] }
        // Of the proxies only these are in git's own messages.
        secrets = outer.filter { $0.key.lowercased().hasSuffix("_proxy") }.compactMap { Self.password(in: $0.value) }
    }

    /// The file that `settings` names. What is fetched becomes visible at once, as a pack.
    static func settings(allowingFiles: Bool) -> String {
        """
        [core]
            hooksPath = /dev/null
            fsmonitor = false
            logAllRefUpdates = false
            autocrlf = false
        [protocol]
            allow = never
        [protocol "https"]
            allow = always
        [protocol "http"]
            allow = always
        [protocol "git"]
            allow = always
        [protocol "ssh"]
            allow = always
        [protocol "file"]
            allow = \(allowingFiles ? "user" : "never")
        [init]
            defaultBranch = master
        [fetch]
            unpackLimit = 1
        [gc]
            auto = 0
        [maintenance]
            auto = false
        [advice]
            detachedHead = false
        [http]
            lowSpeedLimit = 1
            lowSpeedTime = 120
        [safe]
            directory = *

        """
    }

    /// Adds a header to requests to `url`, one that no file may hold and no list of processes show.
    ///
    /// Redirects are errors then: git would go on with the header at whatever server the first one names.
    mutating func setSecretHeader(_ header: String, for url: String) {
        let settings = [("http.\(url).extraheader", header), ("http.\(url).followRedirects", "false")]
        environment["GIT_CONFIG_COUNT"] = "\(settings.count)"
        for (index, setting) in settings.enumerated() {
            environment["GIT_CONFIG_KEY_\(index)"] = setting.0
            environment["GIT_CONFIG_VALUE_\(index)"] = setting.1
        }
        secrets.append(header)
        secrets += header.split(separator: " ").suffix(1).map(String.init)
    }

    mutating func set(_ name: String, _ value: String?) { environment[name] = value }

    /// Runs git to its end and returns what it wrote to standard output.
    ///
    /// When the task is cancelled, git and all it started are killed.
    @discardableResult
    func run(_ arguments: [String], in directory: RawPath? = nil) async throws -> String {
        let (sandbox, output, errors) = try await start(arguments, directory)
        return try await withTaskCancellationHandler {
            // A sandbox that was made while the task was cancelled has missed that.
            if Task.isCancelled { sandbox.kill() }
            async let written = Self.read(output, limit: Self.outputLimit, sandbox)
            async let said = Self.read(errors, limit: Self.messageLimit, nil, log)
            let end = try await sandbox.wait()
            let (text, message) = try await (written, said)
            try Task.checkCancellation()
            guard end == .ended(program: .exited(0), process: nil) else {
                throw Failure(message: redacted(String(decoding: message, as: UTF8.self)))
            }
            return String(decoding: text, as: UTF8.self)
        } onCancel: {
            sandbox.kill()
        }
    }

    /// Returns the ends of the pipes that are read. The others are git's alone, so that reading ends when it does.
    private func start(
        _ arguments: [String],
        _ directory: RawPath?
    ) async throws -> (sandbox: Sandbox, output: SharedFD, errors: SharedFD) {
        let (output, errors) = (try makePipe(), try makePipe())
        let place = directory.map { ["-C", $0.description] } ?? []
        let spec = SandboxSpec(
            arguments: [path] + place + arguments,
            environment: environment.map { "\($0.key)=\($0.value)" },
            standardInput: try open("/dev/null", [.readOnly]).shared(),
            standardOutput: output.write,
            standardError: errors.write
        )
        return (try await Sandbox.spawn(spec), output.read, errors.read)
    }

    private static func read(
        _ pipe: SharedFD,
        limit: Int,
        _ sandbox: Sandbox?,
        _ log: (@Sendable ([UInt8]) -> Void)? = nil
    ) async throws -> [UInt8] {
        try await readers.run {
            var bytes: [UInt8] = []
            let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 32 << 10, alignment: 16)
            defer { buffer.deallocate() }
            while true {
                let count = try readBytes(pipe.raw, into: buffer)
                if count == 0 { return bytes }
                log?(Array(buffer[..<count]))
                bytes += buffer[..<count]
                guard bytes.count > limit else { continue }
                guard let sandbox else {
                    // Of many words the last tell why.
                    bytes.removeFirst(bytes.count - limit / 2)
                    continue
                }
                sandbox.kill()
                throw Failure(message: "the repository's answer is larger than \(limit >> 20) MiB")
            }
        }
    }

    private func redacted(_ text: String) -> String {
        var text = text
        for secret in secrets where !secret.isEmpty { text = text.replacing(secret, with: "***") }
        let lines = text.split(whereSeparator: \.isNewline).map { shownText(String($0)) }
        return lines.filter { !$0.allSatisfy(\.isWhitespace) }.joined(separator: "\n")
    }

    private static func password(in url: String) -> String? {
        guard let scheme = url.firstRange(of: "://"), let at = url.lastIndex(of: "@"), at > scheme.upperBound,
            let colon = url[scheme.upperBound..<at].firstIndex(of: ":")
        else { return nil }
        return String(url[url.index(after: colon)..<at])
    }
}
