// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import ArgumentParser
import CGalleyEntry
import FoundationEssentials
import Glibc
import Testing

@testable import galley

@Suite struct ArgumentTests {
    @Test(arguments: [
        ("--root /r images -q", "images --root /r -q"),
        ("--root=/r --config c -D build .", "build --root=/r --config c -D ."),
        ("build --rm=true --no-cache=false --pull=1 .", "build --rm --pull ."),
        ("build --no-cache=maybe .", "build --no-cache=maybe ."),
        ("build -- --rm=true", "build -- --rm=true"),
        ("run --rm=true -e --tty=true x --quiet=true", "run --rm -e --tty=true x --quiet=true"),
        ("run -e A --help", "help run"),
        ("run -e --help x", "run -e --help x"),
        ("run x --help", "run x --help"),
        ("--version", "version --short"),
        ("--help", "--help"),
        ("--root", "--root"),
        ("", ""),
    ])
    func canonical(_ given: String, _ expected: String) {
        let words = given.split(separator: " ").map(String.init)
        #expect(canonicalArguments(words) == expected.split(separator: " ").map(String.init))
    }

    /// The short way to a command reads the same as the long one, and refuses in the same words.
    @Test(arguments: [
        "build -t app --build-arg A=1 .", "images -q", "run --rm app echo -n", "build --bogus .", "build a b",
        "build --help", "run --help", "bogus", "", "tag one",
    ])
    func commandOfArguments(_ text: String) {
        let words = text.split(separator: " ").map(String.init)
        func outcome(_ parse: ([String]) throws -> any ParsableCommand) -> String {
            do { return "\(try parse(words))" } catch { return GalleyCommand.fullMessage(for: error) }
        }
        let short = outcome(GalleyCommand.command)
        #expect(short == outcome(GalleyCommand.parseAsRoot))
        #expect(!short.contains("bogus") || short.contains("galley"))
    }

    @Test(arguments: [
        ("build .", true), ("--root /x run y", true), ("--root=/x -D --config=c pull y", true), ("rmi x", true),
        ("load", true), ("save x", true), ("push x", true), ("prune", true), ("doctor --deep", true),
        ("run x --help", true),
        ("run -h name x", true), ("build --help", false), ("build -q -h", false), ("run --rm --help", false),
        ("images", false), ("inspect build", false), ("--root build", false), ("--unknown build", false),
        ("--help build", false), ("", false), ("login build", false),
    ])
    func entersNamespaces(_ line: String, _ expected: Bool) {
        let words = ["galley"] + line.split(separator: " ").map(String.init)
        var pointers = words.map { strdup($0) }
        defer { pointers.forEach { free($0) } }
        #expect((galley_mounting_command(CInt(words.count), &pointers) != nil) == expected)
    }

    @Test func everyFlagTakesAValueAsGoProgramsDo() throws {
        struct Info: Decodable {
            struct Command: Decodable {
                var commandName: String
                var subcommands: [Command]?
                var arguments: [Argument]?
            }
            struct Argument: Decodable {
                struct Name: Decodable {
                    var kind: String
                    var name: String
                }
                var kind: String
                var names: [Name]?
            }
            var command: Command
        }
        let info = try JSONDecoder().decode(Info.self, from: Data(GalleyCommand._dumpHelp().utf8))
        var count = 0
        for command in info.command.subcommands ?? [] {
            for flag in command.arguments ?? [] where flag.kind == "flag" {
                for name in flag.names ?? [] where name.kind == "long" {
                    if ["help", "version", "short"].contains(name.name) || name.name.hasPrefix("no-human") { continue }
                    count += 1
                    let words = [command.commandName, "--\(name.name)=true"]
                    #expect(canonicalArguments(words) == [command.commandName, "--\(name.name)"])
                }
            }
        }
        #expect(count > 20)
    }

    @Test func everyMountingCommandExists() {
        let names = Set(GalleyCommand.configuration.subcommands.compactMap { $0.configuration.commandName })
        #expect(names.filter { galley_command_mounts($0) != 0 }.count == 9)
    }
}
