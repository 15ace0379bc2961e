/** How a writer tells what it is doing. Both parts are optional; neither may change what is written. */
export interface Observer {
  /** So many more source bytes and source files are done. Called often: it has to be cheap. */
  progress?(bytes: number, files: number): void;
  /** Something the user should know though the work goes on: one line. */
  notice?(text: string): void;
}
