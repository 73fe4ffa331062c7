// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import ArgumentParser
import Glibc
import LinuxSystem

/// One run of the program: from its arguments to its exit code.
struct Program {
    /// What docker exits with when an option is wrong.
    static let usageExitCode: Int32 = 125
    /// What a shell reports of a program that wrote to a closed pipe.
    static let closedOutputExitCode: Int32 = 141

    let arguments: [String]

    func run() async -> Int32 {
        let command: any ParsableCommand
        do {
            command = try GalleyCommand.command(of: canonicalArguments(Array(arguments.dropFirst())))
        } catch {
            return refuse(error)
        }
        guard let command = command as? any EngineCommand else {
            // Only the root and ArgumentParser's own `help` are left: both show help.
            var command = command
            do { try command.run() } catch { return refuse(error) }
            return 0
        }
        let session = Session(global: command.global)
        defer { session.close() }
        do {
            return try await command.execute(session)
        } catch is ClosedOutput {
            return Self.closedOutputExitCode
        } catch {
            return command.exitCode(of: session.report(error))
        }
    }

    /// Shows help that was asked for, or what is wrong with the arguments.
    private func refuse(_ error: any Error) -> Int32 {
        let code = GalleyCommand.exitCode(for: error)
        let text = GalleyCommand.fullMessage(for: error)
        guard code != .success else {
            return (try? writeOutput(text.isEmpty ? "" : text + "\n")) == nil ? Self.closedOutputExitCode : 0
        }
        let message = GalleyCommand.message(for: error)
        writeError("ERROR: \(message)\n")
        if let usage = text.split(separator: "\n").first(where: { $0.hasPrefix("Usage:") }) {
            writeError("\n\(usage)\n")
        }
        // As docker: wrong options are 125, a wrong number of arguments and unknown commands are 1.
        let isCount = message.hasPrefix("Missing expected argument") || message.contains("nexpected argument")
        return isCount ? 1 : Self.usageExitCode
    }
}
