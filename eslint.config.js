// What the linter demands. Folder rules stand in eslint/folder-rules.js.
import eslint from '@eslint/js';
import { defineConfig } from 'eslint/config';
import tseslint from 'typescript-eslint';
import { procflowRules } from './eslint/folder-rules.js';

const TEMPLATE_EXPRESSIONS = { allowNumber: true, allowBoolean: true };

export default defineConfig(
  { ignores: ['build/', 'node_modules/', '.tap/', '**/*.gen.ts'] },
  eslint.configs.recommended,
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.strictTypeChecked, tseslint.configs.stylisticTypeChecked],
    plugins: { procflow: procflowRules },
    languageOptions: { parserOptions: { projectService: true } },
    rules: {
      'procflow/folders': 'error',
      'procflow/no-default-export': 'error',
      eqeqeq: 'error',
      'no-console': 'error',
      'max-lines': ['error', { max: 320, skipBlankLines: true, skipComments: true }],
      'max-lines-per-function': ['error', { max: 60, skipBlankLines: true, skipComments: true }],
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/no-non-null-assertion': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': [
        'error',
        { considerDefaultExhaustiveForUnions: true },
      ],
      '@typescript-eslint/restrict-template-expressions': ['error', TEMPLATE_EXPRESSIONS],
      // A fake that keeps an interface's promise often has nothing to wait for.
      '@typescript-eslint/require-await': 'off',
      // `() => out.write(x)` is clearer than a block around one call.
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
    },
  },
  {
    files: ['src/**/*.ts'],
    rules: {
      // Only cli/main decides how the process ends: everything else throws.
      'no-restricted-syntax': [
        'error',
        {
          selector: "CallExpression[callee.object.name='process'][callee.property.name='exit']",
          message: 'Only src/cli/main.ts ends the process',
        },
      ],
    },
  },
  { files: ['src/cli/main.ts'], rules: { 'no-restricted-syntax': 'off' } },
  {
    files: ['test/**/*.ts', 'bench/**/*.ts'],
    rules: {
      'max-lines': ['error', { max: 600 }],
      'max-lines-per-function': 'off',
      // t.test() gives a promise that tap itself waits for.
      '@typescript-eslint/no-floating-promises': 'off',
      // Tests hand wrong values to check that they are refused.
      '@typescript-eslint/no-unsafe-assignment': 'off',
      '@typescript-eslint/no-unsafe-member-access': 'off',
      '@typescript-eslint/no-unsafe-call': 'off',
    },
  },
  {
    files: ['**/*.js', 'bin/*'],
    languageOptions: { globals: { process: 'readonly', console: 'readonly', URL: 'readonly' } },
  },
);
