// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import ArgumentParser
import Builder
import CGalleyEntry
import LinuxSystem
import Synchronization

/// Options that every command takes, before or after its name.
struct GlobalOptions: ParsableArguments {
    @Option(help: ArgumentHelp("Where images, layers and cache are kept.", valueName: "directory"))
    var root: String?

    @Option(help: ArgumentHelp("The configuration to use instead of galley.toml.", valueName: "file"))
    var config: String?

    @Flag(name: [.customShort("D"), .long], help: "Show the internals of errors.")
    var debug = false
}

/// A command that uses the engine.
protocol EngineCommand: ParsableCommand {
    var global: GlobalOptions { get }
    /// Carries the command out; returns the exit code.
    func execute(_ session: Session) async throws -> Int32
    /// What the program exits with after an error.
    func exitCode(of error: UserFacingError) -> Int32
}

extension EngineCommand {
    func exitCode(of error: UserFacingError) -> Int32 { error.exitCode }
}

/// What a command works with: the environment, and the engine once it is opened.
final class Session: Sendable {
    let environment: [String: String]
    private let root: String?
    private let configuration: String?
    private let showsInternals: Bool
    private let opened = Mutex<Engine?>(nil)

    init(global: GlobalOptions, environment: [String: String] = Session.processEnvironment()) {
        self.environment = environment
        root = global.root
        configuration = global.config
        showsInternals = global.debug
    }

    /// Opens the root directory.
    ///
    /// Throws why the namespaces could not be entered, for commands that need them.
    func engine() throws -> Engine {
        let engine = try Engine(settings())
        opened.withLock { $0 = engine }
        return engine
    }

    /// Where everything is, for who does not open it.
    func settings() throws -> EngineSettings {
        if let failure = ProcessNamespaces.current.failure { throw failure }
        return try EngineSettings(root: root, configuration: configuration, environment: environment)
    }

    /// Leaves the root directory in order.
    func close() { opened.withLock { $0 }?.close() }

    func describe(_ error: any Error) -> UserFacingError {
        opened.withLock { $0 }?.describe(error) ?? userFacing(error, root: root ?? "the root directory")
    }

    /// Prints an error as buildx does: where, what and why, and what to do next below it.
    @discardableResult
    func report(_ error: any Error) -> UserFacingError {
        let shown = describe(error)
        if let excerpt = shown.excerpt { writeError(excerpt.hasSuffix("\n") ? excerpt : excerpt + "\n") }
        let text = shown.description
        writeError((text.hasPrefix("ERROR: ") ? text : "ERROR: " + text) + "\n")
        if let next = shown.nextStep { writeError("hint: \(next)\n") }
        if showsInternals { writeError("\(String(reflecting: error))\n") }
        return shown
    }

    /// The variables of this process; of one that is set twice, the first counts, as for getenv(3).
    static func processEnvironment() -> [String: String] {
        var result: [String: String] = [:]
        var index: CInt = 0
        while let entry = galley_environment(index) {
            index += 1
            let text = String(cString: entry)
            guard let equals = text.firstIndex(of: "=") else { continue }
            let name = String(text[..<equals])
            if result[name] == nil { result[name] = String(text[text.index(after: equals)...]) }
        }
        return result
    }
}
