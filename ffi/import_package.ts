/**
 * Loads an npm package that is not part of the library's own module graph, when it is used. Deno fetches it, or takes
 * what the program's package.json has; Bun and Node find it among the program's packages.
 *
 * @param name the package
 * @param range the versions that will do, as npm writes them
 */
export async function importPackage(name: string, range: string): Promise<unknown> {
  const specifier = "Deno" in globalThis ? `npm:${name}@${range}` : name;
  try {
    return await import(specifier);
  } catch (cause) {
    throw new Error(
      `Cannot load the npm package ${name}. Install it beside your program: npm install ${name} (in Deno: deno add npm:${name})`,
      { cause },
    );
  }
}
