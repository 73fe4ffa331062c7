// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import ArgumentParser

/// The root of the command line.
struct GalleyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "galley",
        abstract: "Build container images from Dockerfiles, without a daemon.",
        discussion: """
            --root DIRECTORY, --config FILE and --debug are taken before and after every command.
            """,
        subcommands: [
            BuildCommand.self, WhyCommand.self, RunCommand.self, ImagesCommand.self, TagCommand.self,
            RemoveCommand.self,
            InspectCommand.self, HistoryCommand.self, PullCommand.self, PushCommand.self, SaveCommand.self,
            LoadCommand.self, LoginCommand.self, LogoutCommand.self, DuCommand.self, PruneCommand.self,
            DoctorCommand.self,
            VersionCommand.self, CompletionCommand.self,
        ]
    )

    /// The command that the arguments name, with its options.
    static func command(of arguments: [String]) throws -> any ParsableCommand {
        // The way from the root reads the options of every command on it several times, which takes as long as many a
        // build. What the short way refuses or asks for help goes the long one: its messages name the whole command.
        if let name = arguments.first, let type = configuration.subcommands.first(where: { $0._commandName == name }),
            let command = try? type.parseAsRoot(Array(arguments.dropFirst())),
            Swift.type(of: command) == type
        {
            return command
        }
        return try parseAsRoot(arguments)
    }
}

extension ArgumentHelp {
    init(_ abstract: String, value: String) { self.init(abstract, valueName: value) }
}

extension NameSpecification {
    /// An option with a value, whose letter may have the value right behind it, as in `-tname`.
    static func letter(_ letter: Character, _ name: String) -> NameSpecification {
        [.customShort(letter, allowingJoined: true), .customLong(name)]
    }
}
